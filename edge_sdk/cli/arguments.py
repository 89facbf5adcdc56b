"""Arguments that commands share, and the output of a command."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edge_sdk import console
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.gallery import EnrolOptions

PROGRAM = "edge-sdk"
GALLERY_EXAMPLE = "--gallery home.gallery --key home.key"
KEY_HELP = (
    "a key file; passphrase; host or tpm2 (both through systemd-creds); pi-otp (Raspberry Pi); tpm-nv or tpm-nv:INDEX"
    " (TPM 2.0, with a hexadecimal NV index, default 0x01500016); or NAME:ARGUMENT of a plug-in"
)
CAMERA_HELP = (
    "pi or pi:N; usb, usb:N or usb:PATH; a device such as /dev/video0 or a link in /dev/v4l/by-id; an rtsp:// or http://"
    " address; a video file; a folder of images; or NAME:ARGUMENT of a plug-in"
)
_ANCHOR_HELP = (
    "anchor that detects an old copy put in place of the gallery: a file, or tpm:INDEX for a TPM counter (hexadecimal"
    " NV index); give the same anchor to every command"
)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTALLED = "(default: the installation's)"
_THRESHOLD_DEFAULT = "(default: the gallery's decision policy)"


class Output(NamedTuple):
    """Output of a command.

    Attributes:
        value: JSON values to print with --json; None for a command that has printed its results already.
        text: Text to print without --json.
        positive: False for a clean negative, such as no match or a problem that was found: exit code 1.
        failed: True if a part of the input could not be used, which was reported: exit code 3.
    """

    value: Any
    text: str
    positive: bool = True
    failed: bool = False


@contextmanager
def reported(image: Path) -> Iterator[None]:
    """Print the error of one unusable image and its hint, so that the other images are still answered."""
    try:
        yield
    except InputError as error:
        message = str(error)
        console.say(PROGRAM, f"error: {message if str(image) in message else f'{image}: {message}'}")
        if error.hint:
            console.say(PROGRAM, f"hint: {error.hint}")


def add_command(
    commands: Any,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], Output],
    *,
    example: str,
    details: str = "",
) -> argparse.ArgumentParser:
    """Add a command to `edge-sdk` or to one of its groups.

    Args:
        commands: Result of `add_subparsers`.
        name: Name of the command.
        summary: One line in the imperative, without capital and full stop.
        run: Does the work and returns what to print.
        example: A whole command line without `edge-sdk`.
        details: Sentences to print after the summary in the command's own help.
    """
    description = summary[0].upper() + summary[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{description}\n\n{details}" if details else description,
        epilog=f"example:\n  {PROGRAM} {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.set_defaults(run=run, parser=parser)
    return parser


def add_gallery_command(
    commands: Any,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], Output],
    example: str = "",
    *,
    details: str = "",
    installed: bool = True,
) -> argparse.ArgumentParser:
    """Add one command of the group `gallery` with the gallery's arguments; see `add_command`.

    Args:
        example: Arguments of the example besides those of the gallery.
        installed: See `add_gallery_arguments`.
    """
    command_line = " ".join(filter(None, ("gallery", name, example, GALLERY_EXAMPLE)))
    parser = add_command(commands, name, summary, run, example=command_line, details=details)
    add_gallery_arguments(parser, installed=installed)
    return parser


def take_from_installation(parser: argparse.ArgumentParser, part: str, *, required: bool) -> None:
    """Let a command take a part of the installation if its options are not given; see `cli.installed`.

    Args:
        parser: The command's parser.
        part: ``gallery`` (with key and anchor), ``model``, ``face`` (detector and liveness networks), ``detector`` or
            ``camera`` (with its turn).
        required: True if the command cannot run without the part.
    """
    parts: dict[str, bool] = parser.get_default("parts") or {}
    if not parts:
        parser.add_argument(
            "--installation",
            type=Path,
            metavar="DIR",
            help="folder of the installation, made by edge-sdk setup, from which files that are not named are taken"
            " (default: EDGE_SDK_INSTALLATION in the environment, or ~/.local/share/edge-sdk/door)",
        )
    parser.set_defaults(parts={**parts, part: required})


def add_gallery_arguments(
    parser: argparse.ArgumentParser, *, required: bool = True, installed: bool = True
) -> None:
    """Add the options --gallery, --key, --passphrase, --anchor and --gallery-id.

    Args:
        parser: The command's parser.
        required: True if the command cannot run without a gallery.
        installed: True to take gallery, key and anchor of the installation if they are not given. False for a command
            that creates a gallery, or that needs none.
    """
    default = f" {_INSTALLED}" if installed else "" if required else " (default: none)"
    of_gallery = "none"
    if installed:
        take_from_installation(parser, "gallery", required=required)
        required, of_gallery = False, "the installation's with its gallery, otherwise none"
    parser.add_argument(
        "--gallery",
        type=Path,
        required=required,
        metavar="FILE",
        help=f"gallery file, created by setup, gallery create or enrol{default}",
    )
    key = parser.add_mutually_exclusive_group(required=required)
    key.add_argument("--key", metavar="KEY", help=f"key that opens the gallery: {KEY_HELP}{default}")
    key.add_argument(
        "--passphrase",
        action="store_const",
        dest="key",
        const="passphrase",
        help="short for --key passphrase",
    )
    parser.add_argument(
        "--anchor",
        metavar="ANCHOR",
        help=f"{_ANCHOR_HELP} (default: {of_gallery})",
    )
    parser.add_argument(
        "--gallery-id",
        metavar="HEX",
        help="refuse the gallery if its id differs, 32 hexadecimal digits, printed by gallery status (default: the id that"
        " the key file notes for this path)",
    )


def add_model_arguments(parser: argparse.ArgumentParser, *, delegate: bool = True) -> None:
    """Add the options --model, --model-sha256 and, if `delegate`, --delegate, --backend and --threads."""
    take_from_installation(parser, "model", required=True)
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help=f"model made by edge-convert (.tflite) {_INSTALLED}"
    )
    parser.add_argument(
        "--model-sha256",
        metavar="HEX",
        help="refuse the model file if its SHA-256 differs, 64 hexadecimal digits (default: not checked)",
    )
    if delegate:
        runtime = parser.add_mutually_exclusive_group()
        runtime.add_argument(
            "--delegate",
            metavar="LIBRARY",
            help="shared library of a delegate, such as libedgetpu.so.1; if the delegate's results are wrong, the CPU is"
            " used (default: CPU)",
        )
        runtime.add_argument(
            "--backend",
            metavar="NAME",
            help="backend plug-in that runs the network; its results must match the golden vectors (default: LiteRT)",
        )
        parser.add_argument(
            "--threads",
            type=int,
            metavar="N",
            help="threads of each network, 1 or more (default: the installation's, otherwise one on each performance core, at"
            " most 4)",
        )


def add_face_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options --detector, --smallest-face and --pad; with a model of the installation its networks are taken."""
    default = "" if required else "; without one, none: images are aligned crops"
    take_from_installation(parser, "face", required=required)
    parser.add_argument(
        "--detector",
        metavar="FILE",
        help="face detector: a .tflite, or NAME:ARGUMENT of a detector plug-in (default: the installation's, with its"
        f" model{default})",
    )
    parser.add_argument(
        "--smallest-face",
        type=float,
        metavar="PX",
        help="width of the smallest face to find in pixels, above 0; smaller faces than the detector finds in the reduced"
        " picture take at least ten detections (default: search the reduced picture only)",
    )
    parser.add_argument(
        "--pad",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="MiniFASNet models (.tflite) for presentation attack detection (default: the installation's with its model,"
        " otherwise none)",
    )


def add_camera_argument(parser: Any, command: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the option --camera to a parser or to a group of options of `command`."""
    take_from_installation(command, "camera", required=required)
    parser.add_argument("--camera", metavar="SOURCE", help=f"camera: {CAMERA_HELP} {_INSTALLED}")


def add_rotate_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option --rotate."""
    parser.add_argument(
        "--rotate",
        type=int,
        choices=(0, 90, 180, 270),
        metavar="DEG",
        help="turn each picture clockwise so that it is upright, in degrees: 0, 90, 180 or 270 (default: the installation's"
        " with its camera, otherwise 0)",
    )


def add_pin_arguments(parser: argparse.ArgumentParser, *, default: str = "not pinned") -> None:
    """Add the options --detector and --pad, whose files a recognizer must use from then on."""
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="FILE",
        help=f"face detector (.tflite) to pin: face commands and recognizers must use this file (default: {default})",
    )
    parser.add_argument(
        "--pad",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=f"MiniFASNet models (.tflite) to pin: face commands and recognizers must use these files (default: {default})",
    )


def add_threshold_arguments(parser: argparse.ArgumentParser, *, search: bool) -> None:
    """Add the options --fmr and --threshold and, if `search` (1:N), --fpir."""
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument(
        "--fmr",
        type=float,
        metavar="RATE",
        help=f"false match rate of an operating point in the model card, above 0 and at most 1 {_THRESHOLD_DEFAULT}",
    )
    threshold.add_argument(
        "--threshold",
        type=float,
        metavar="COSINE",
        help=f"lowest cosine similarity of a match, -1..1, for a model without operating points {_THRESHOLD_DEFAULT}",
    )
    if search:
        threshold.add_argument(
            "--fpir",
            type=float,
            metavar="RATE",
            help="false positive identification rate of one search at the gallery's size, above 0 and below 1"
            f" {_THRESHOLD_DEFAULT}",
        )


def add_enrolment_arguments(parser: argparse.ArgumentParser, noun: str) -> None:
    """Add the name of a new `noun` (subject or person) and the options of its enrolment."""
    parser.add_argument(
        "subject", help=f"unique name, 1..64 bytes of UTF-8; with --add: name of an enrolled {noun}"
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help=f"add the pictures to an enrolled {noun}, for example with glasses; label and validity stay",
    )
    parser.add_argument(
        "--look",
        default="",
        metavar="TEXT",
        help="with --add: name of the look, 1..64 bytes, such as glasses (default: look 2, look 3 and so on)",
    )
    parser.add_argument(
        "--allow-unlike",
        action="store_true",
        help=f"with --add: add pictures that are not like the {noun}'s own; verify first that it is the same {noun}",
    )
    parser.add_argument(
        "--allow-duplicate",
        action="store_true",
        help=f"enrol even if the {noun} looks like an enrolled one; verify first that they are different people",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        choices=("eyes_covered", "mouth_covered", "blurred", "uneven_light"),
        help="do not refuse pictures of a face for this reason; recorded in the audit log; may be repeated"
        " (default: refuse all of them)",
    )
    parser.add_argument(
        "--label",
        default="",
        metavar="TEXT",
        help="text to store with the subject, 0..64 bytes (default: empty)",
    )
    parser.add_argument(
        "--store-captures",
        metavar="CONSENT",
        help="store the crops too, sealed for the key of gallery captures, so that another model needs no new visit; CONSENT"
        " states who consented and how, 1..1024 bytes (default: store no crops)",
    )
    add_validity_arguments(parser)


def enrolment_options(arguments: argparse.Namespace) -> EnrolOptions:
    """Return the options from `add_enrolment_arguments`; raise InputError if the name or an option is malformed."""
    from edge_sdk.gallery.rules.names import checked_name
    from edge_sdk.gallery.subjects import EnrolOptions

    checked_name(arguments.subject)
    return EnrolOptions(
        arguments.label,
        arguments.valid_from,
        arguments.valid_until,
        arguments.allow_duplicate,
        add=arguments.add,
        look=arguments.look,
        allow_unlike=arguments.allow_unlike,
    )


def format_enrolment(subject: str, templates: int, options: EnrolOptions) -> str:
    """Describe a completed enrolment, or an addition of pictures."""
    count = format_count(templates, "template")
    return f"added {count} to {subject}" if options.add else f"enrolled {subject} with {count}"


def add_validity_arguments(parser: argparse.ArgumentParser, *, default: str = "no bound") -> None:
    """Add the options --valid-from and --valid-until, the period in which a subject is accepted."""
    for option, meaning, days in (("--valid-from", "before", 0), ("--valid-until", "at and after", 1)):
        parser.add_argument(
            option,
            type=partial(_time, days=days),
            metavar="TIME",
            help=f"reject the subject {meaning} this time: ISO 8601 with a time zone, such as 2030-01-31T18:00+01:00,"
            f" a day such as 2030-01-31 in this device's time zone, {'which is still accepted' if days else 'from its start'},"
            f" or the word none, for no bound (default: {default})",
        )


def _time(text: str, *, days: int) -> datetime | int:
    """Read a time, or a day in the device's time zone; `days` is added to the start of a day."""
    if text == "none":
        return 0
    try:
        if _DAY.fullmatch(text):
            # The offset of the time zone is the one of that day.
            return (datetime.fromisoformat(text) + timedelta(days=days)).astimezone()
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            "expected a day such as 2030-01-31, a time such as 2030-01-31T18:00+01:00, or none"
        ) from error
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("expected a time zone, as in 2030-01-31T18:00+01:00, or only a day")
    return moment


@contextmanager
def show_progress(text: str, *, unit: float = 1) -> Iterator[Callable[[int, int], None] | None]:
    """Show progress in one line of stderr; yield a function of the progress so far and the total; None in a pipe.

    Args:
        text: Format of the line, with the fields `done` and `total`.
        unit: Divisor of both numbers.
    """
    if not sys.stderr.isatty():
        yield None
        return

    def show(done: int, total: int) -> None:
        sys.stderr.write("\r" + text.format(done=done / unit, total=total / unit))
        sys.stderr.flush()

    yield show
    sys.stderr.write("\n")


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun: `1 subject`, `2 subjects`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
