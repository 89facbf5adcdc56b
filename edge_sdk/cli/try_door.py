"""``edge-sdk try``: the door of an installation on this computer, without hardware."""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import CAMERA_HELP, Output, add_command, add_rotate_argument
from edge_sdk.errors import InputError


def add_commands(commands: Any) -> None:
    """Add `try`."""
    parser = add_command(
        commands,
        "try",
        "try the door of an installation on this computer, without hardware",
        _try,
        details="Enter presses the button; in a pipe each line is a press. A folder or a video plays from its beginning at each"
        "\npress; in a pipe the button is pressed once before the first line. The strike is drawn in the terminal."
        "\nAttempts count as at the door, and its audit log records them."
        "\nThe exit code is 0 if the door was opened at least once.",
        example="try --camera usb",
    )
    parser.add_argument(
        "--camera",
        metavar="SOURCE",
        help=f"camera: {CAMERA_HELP} (default: the installation's, otherwise usb)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="time after which the trial ends, above 0, in seconds (default: until q, the end of the input or Ctrl-C)",
    )
    add_rotate_argument(parser)
    parser.add_argument(
        "--installation",
        type=Path,
        metavar="DIR",
        help="folder of the installation, made by edge-sdk setup (default: EDGE_SDK_INSTALLATION in the environment, or"
        " ~/.local/share/edge-sdk/door)",
    )


def _try(arguments: argparse.Namespace) -> Output:
    from edge_sdk.cli.opening import camera_named, resolve_key
    from edge_sdk.door.installation import Installation
    from edge_sdk.door.lock import DoorLock
    from edge_sdk.door.strike import Strike
    from edge_sdk.door.terminal import TerminalDoor
    from edge_sdk.door.watchdog import ServiceManager

    if arguments.seconds is not None and not 0 < arguments.seconds <= threading.TIMEOUT_MAX:
        raise InputError(f"expected a time above 0 s, found {arguments.seconds:g}")
    installation = Installation.read(arguments.installation)
    rotate = arguments.rotate
    if rotate is None:
        rotate = 0 if arguments.camera else installation.rotate
    camera = camera_named(arguments.camera or installation.camera or "usb", rotate=rotate)
    recognizer = installation.open_recognizer(key=resolve_key(installation.key), rotate=rotate)
    door = TerminalDoor(
        sys.stdin,
        sys.stdout,
        attempts=recognizer.gallery.attempts.status,
        as_json=arguments.json,
        press_first=not camera.live and not sys.stdin.isatty(),
    )
    with contextlib.closing(door), Strike(door) as strike:
        door.strike = strike
        # A trial is no service, also if a service started the shell.
        lock = DoorLock(
            recognizer, camera, button=door, strike=strike, show=door.show, service=ServiceManager()
        )
        door.when_ended = lock.stop
        timer = threading.Timer(arguments.seconds or threading.TIMEOUT_MAX, lock.stop)
        timer.daemon = True
        timer.start()
        # Every signal ends the trial, and the exit code states in any case if the door was opened.
        with contextlib.suppress(KeyboardInterrupt, SystemExit):
            lock.serve()
        timer.cancel()
    return Output(None, "", door.openings > 0)
