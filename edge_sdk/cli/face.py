"""Enrol and recognize people from photographs and cameras: what stands before the embedder is done here too."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    add_command,
    add_gallery_arguments,
    add_validity_arguments,
    counted,
    open_gallery,
    tell,
)
from edge_sdk.cli.recognition import (
    add_model_arguments,
    add_threshold_arguments,
    open_embedder,
    wished_threshold,
)
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from edge_sdk.cameras import Camera
    from edge_sdk.recognizer import Recognition, Recognizer
    from edge_sdk.vision.embedder import Embedder

_FILES = "--model face.tflite --detector yunet.tflite --gallery home.gallery --key home.key"
CAMERA_HELP = "pi, usb, usb:1 for /dev/video1, a video file, or a folder of images"


class _InAnyOrder(argparse.ArgumentParser):
    """Takes positional arguments on both sides of a flag, which argparse refuses where the last are optional
    (before Python 3.12.7 `enrol alice --label x photo.jpg` ends with "unrecognized arguments")."""

    _apart = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._apart:
            return super().parse_known_args(args, namespace)
        self._apart = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._apart = False


def add_commands(commands: Any) -> None:
    """Add `face` with its commands."""
    parser = commands.add_parser("face", help="enrol and recognize people from photographs and cameras")
    inner = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_InAnyOrder)
    enrol = add_command(
        inner,
        "enrol",
        "enrol one person, alone in every picture",
        _enrol,
        example=f"face enrol alice --camera pi {_FILES}",
    )
    enrol.add_argument("subject", help="a name of your choice, 1 to 64 bytes")
    enrol.add_argument("--label", default="", help="free text to keep with the person")
    add_validity_arguments(enrol)
    enrol.add_argument(
        "--least", type=int, default=3, help="good pictures that it takes, 1 or more (default: 3)"
    )
    enrol.add_argument(
        "--allow-duplicate", action="store_true", help="enrol also who looks like somebody enrolled"
    )
    identify = add_command(
        inner,
        "identify",
        "ask who photographs show; each is one try",
        _identify,
        example=f"face identify photo.jpg {_FILES}",
    )
    watch = add_command(
        inner,
        "watch",
        "follow whoever is before a camera, and say each answer as it comes",
        _watch,
        example=f"face watch --camera usb --seconds 60 {_FILES}",
    )
    for one, seconds in ((enrol, 30.0), (watch, math.inf)):
        one.add_argument(
            "--seconds",
            type=float,
            default=seconds,
            help="how long to look at a camera (default: "
            f"{'until it is interrupted' if seconds == math.inf else f'{seconds:g}'})",
        )
    for one in (enrol, identify):
        one.add_argument("photographs", nargs="*", type=Path, help="JPEG, PNG or PPM files")
    for one in (enrol, watch):
        one.add_argument("--camera", metavar="SOURCE", required=one is watch, help=CAMERA_HELP)
    for one in (enrol, identify, watch):
        add_gallery_arguments(one)
        add_model_arguments(one)
        one.add_argument("--detector", type=Path, required=True, help="a .tflite that finds faces")
        one.add_argument(
            "--pad",
            type=Path,
            nargs="+",
            default=[],
            metavar="FILE",
            help="MiniFASNet .tflite files that tell a person from a picture",
        )
    for one in (identify, watch):
        add_threshold_arguments(one, search=True)


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_sdk.cameras import frames
    from edge_sdk.gallery.transaction import checked_text

    checked_text(arguments.subject, "a subject's name", min_bytes=1)
    checked_text(arguments.label, "a label", min_bytes=0)
    if bool(arguments.photographs) == bool(arguments.camera):
        arguments.parser.error("give photographs or --camera, one of them")
    embedder = open_embedder(arguments)
    camera = camera_named(arguments.camera) if arguments.camera else _files(arguments.photographs)
    with camera as opened:
        recognizer = _recognizer(arguments, embedder)
        made = recognizer.enrol(
            frames(opened, seconds=arguments.seconds),
            arguments.subject,
            label=arguments.label,
            valid_from=arguments.valid_from,
            valid_until=arguments.valid_until,
            allow_duplicate=arguments.allow_duplicate,
            least=arguments.least,
        )
    lines = [f"enrolled {made.subject} with {counted(made.templates, 'template')}"]
    lines += [f"picture {one.index + 1} not used: {one.reason}" for one in made.refused]
    refused = [{"picture": one.index + 1, "reason": one.reason} for one in made.refused]
    value = {"enrolled": made.subject, "templates": made.templates, "refused": refused}
    tell(arguments, value, "\n".join(lines))
    return 0


def _identify(arguments: argparse.Namespace) -> int:
    if not arguments.photographs:
        arguments.parser.error("give one or more photographs")
    recognizer = _recognizer(arguments, open_embedder(arguments))
    answers = []
    with _files(arguments.photographs) as camera:
        while (frame := camera.read()) is not None:
            answers.append(recognizer.identify(frame))
    named = list(zip(arguments.photographs, answers, strict=True))
    tell(
        arguments,
        [{"image": str(path), **_value(answer)} for path, answer in named],
        "\n".join(f"{path}: {_words(answer)}" for path, answer in named),
    )
    return 0 if all(answer.accepted for answer in answers) else console.CLEAN_NEGATIVE


def _watch(arguments: argparse.Namespace) -> int:
    recognizer = _recognizer(arguments, open_embedder(arguments))
    accepted = False
    with camera_named(arguments.camera) as camera:
        for answer in recognizer.watch(camera, seconds=arguments.seconds):
            # One line each, at once: somebody waits for it.
            print(json.dumps(_value(answer)) if arguments.json else _words(answer), flush=True)
            accepted |= answer.accepted
    return 0 if accepted else console.CLEAN_NEGATIVE


def _recognizer(arguments: argparse.Namespace, embedder: Embedder) -> Recognizer:
    from edge_sdk.recognizer import Recognizer
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.liveness import MiniFasNet

    detector = Detector.open(arguments.detector)
    pad = MiniFasNet.open(*arguments.pad) if arguments.pad else None
    gallery = open_gallery(arguments, embedder.model_id)
    # Enrolment asks for no threshold: the gallery's own checks apply.
    threshold = wished_threshold(arguments, embedder.card, gallery) if "fpir" in arguments else None
    return Recognizer(detector, embedder, gallery, pad=pad, threshold=threshold)


def _files(paths: list[Path]) -> Camera:
    from edge_sdk.cameras import FolderCamera

    return FolderCamera(paths)


def camera_named(name: str) -> Camera:
    """The camera that a word of the command line names."""
    from edge_sdk.cameras import FolderCamera, PiCamera, V4l2Camera, VideoFile

    kind, _, number = name.partition(":")
    if kind == "pi" and (not number or number.isdecimal()):
        return PiCamera(number=int(number or 0))
    if kind == "usb" and (not number or number.isdecimal()):
        return V4l2Camera(int(number or 0))
    path = Path(name)
    if path.is_dir():
        return FolderCamera(path)
    if path.is_file():
        return VideoFile(path)
    raise InputError(f"expected a camera, found {name!r}", hint=CAMERA_HELP)


def _value(answer: Recognition) -> dict[str, Any]:
    return {
        "decision": answer.decision.value,
        "subject": answer.subject,
        "reason": answer.reason or None,
        "counted": answer.counted,
        "box": None if answer.face is None else [round(side, 1) for side in answer.face.box],
    }


def _words(answer: Recognition) -> str:
    words = answer.decision.value.replace("_", " ")
    if answer.accepted:
        return f"{words} as {answer.subject}"
    return f"{words} ({answer.reason})" if answer.reason else words
