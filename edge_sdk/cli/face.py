"""``edge-sdk face``: enrol and recognize people in photographs and camera frames."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    GALLERY_EXAMPLE,
    PROGRAM,
    Output,
    add_camera_argument,
    add_command,
    add_enrolment_arguments,
    add_face_arguments,
    add_gallery_arguments,
    add_model_arguments,
    add_rotate_argument,
    add_threshold_arguments,
    enrolment_options,
    format_count,
    format_enrolment,
    reported,
)
from edge_sdk.cli.face_align import add_align
from edge_sdk.cli.face_evidence import add_evidence
from edge_sdk.cli.opening import (
    camera_named,
    choose_threshold,
    explained_threshold,
    open_embedder,
    open_gallery,
    resolve_detector,
)
from edge_sdk.errors import CaptureError, InputError
from edge_sdk.escaping import escaped, escaped_line

if TYPE_CHECKING:
    from edge_sdk.cameras import Camera
    from edge_sdk.recognizer import Recognition, Recognizer
    from edge_sdk.recognizer.owner_scores import OwnerScore
    from edge_sdk.types import UInt8Array
    from edge_sdk.vision.embedder import Embedder

_FILES = f"--model face.tflite --detector yunet.tflite {GALLERY_EXAMPLE}"


class _IntermixedParser(console.Parser):
    """A parser that accepts optional positional arguments before and after an option.

    Before Python 3.12.7 argparse rejects `enrol alice --label x photo.jpg` with "unrecognized arguments".
    """

    _nested = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._nested:
            return super().parse_known_args(args, namespace)
        self._nested = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._nested = False


def add_commands(commands: Any) -> None:
    """Add the group `face` and its commands."""
    group = commands.add_parser(
        "face",
        help="enrol and recognize people in photographs and camera frames",
        description="Enrol and recognize people in photographs and camera frames: detect, align, embed, decide.",
        epilog=f"example:\n  edge-sdk face identify photo.jpg {_FILES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(required=True, metavar="COMMAND", parser_class=_IntermixedParser)
    enrol = add_command(
        inner,
        "enrol",
        "enrol one person from photographs or a camera",
        _enrol,
        details="Each picture must show only this person. Give either photographs or --camera.",
        example=f"face enrol alice --camera pi {_FILES}",
    )
    add_enrolment_arguments(enrol, "person")
    enrol.add_argument(
        "--least",
        type=int,
        metavar="N",
        help="number of good pictures required, 1 or more (default: 3, with --add 1)",
    )
    identify = add_command(
        inner,
        "identify",
        "identify the person in each photograph (1:N)",
        _identify,
        details="Each photograph with a good face is one attempt. The exit code is 0 if every photograph is accepted.",
        example=f"face identify photo.jpg {_FILES}",
    )
    identify.add_argument(
        "--owner-scores",
        action="store_true",
        help="also print the two best scores of each photograph, for the owner only: at most 20 photographs in 24 hours,"
        " each recorded in the audit log; never show them to others, because many scores reconstruct a template"
        " (default: no scores)",
    )
    watch = add_command(
        inner,
        "watch",
        "identify people in front of a camera and print each decision at once",
        _watch,
        details="The exit code is 0 if a person was accepted.",
        example=f"face watch --camera usb --seconds 60 {_FILES}",
    )
    watch.add_argument(
        "--attempts",
        type=int,
        metavar="N",
        help="end after this many attempts, 1 or more; 1 is what follows a press of a button (default: no limit)",
    )
    for parser, seconds, default in ((enrol, 30.0, "30"), (watch, math.inf, "until interrupted")):
        parser.add_argument(
            "--seconds",
            type=float,
            default=seconds,
            metavar="S",
            help=f"time to read from the camera, in seconds (default: {default})",
        )
    for parser in (enrol, identify):
        parser.add_argument(
            "photographs", nargs="*", type=Path, metavar="photograph", help="JPEG, PNG or PPM files"
        )
    for parser in (enrol, watch):
        add_camera_argument(parser, parser, required=parser is watch)
    for parser in (enrol, identify, watch):
        add_gallery_arguments(parser)
        add_model_arguments(parser)
        add_face_arguments(parser)
        add_rotate_argument(parser)
    for parser in (identify, watch):
        add_threshold_arguments(parser, search=True)
    add_align(inner)
    add_evidence(inner)


def _enrol(arguments: argparse.Namespace) -> Output:
    from edge_sdk.cameras import FolderCamera
    from edge_sdk.recognizer.posing import paced

    # Checked before the camera is opened, so that nobody poses for a name that cannot be stored.
    options = enrolment_options(arguments)
    if bool(arguments.photographs) == bool(arguments.camera):
        arguments.parser.error("give either photographs or --camera")
    _require_files(arguments.photographs)
    recognizer = _open_recognizer(arguments, open_embedder(arguments))
    enrol = partial(
        recognizer.enrol,
        subject=arguments.subject,
        options=options,
        least=arguments.least,
        consent=arguments.store_captures,
    )
    readable: list[Path] = []
    if arguments.camera:
        with camera_named(arguments.camera, rotate=arguments.rotate) as camera:
            console.say(PROGRAM, "look at the camera, and move the head a little between the pictures")
            enrolment = enrol(
                paced(camera, seconds=arguments.seconds), guide=lambda advice: console.say(PROGRAM, advice)
            )
    else:
        with FolderCamera(arguments.photographs, rotate=arguments.rotate) as camera:
            try:
                enrolment = enrol(_readable(camera, arguments.photographs, readable))
            except CaptureError as error:
                raise InputError(f"{readable[error.capture]}: {error}", hint=error.hint) from error
    lines = [format_enrolment(enrolment.subject, enrolment.templates, options)]
    refused: list[dict[str, Any]]
    if arguments.camera:
        refused = [{"picture": frame.index + 1, "reason": frame.reason} for frame in enrolment.refused]
        counts = Counter(frame.reason for frame in enrolment.refused)
        lines += [
            f"{format_count(count, 'picture')} not used: {reason}" for reason, count in counts.most_common()
        ]
    else:
        refused = [
            {"image": str(readable[frame.index]), "reason": frame.reason} for frame in enrolment.refused
        ]
        lines += [f"{escaped_line(item['image'])} not used: {item['reason']}" for item in refused]
    return Output(
        {
            "enrolled": enrolment.subject,
            "templates": enrolment.templates,
            "added": options.add,
            "refused": refused,
        },
        "\n".join(lines),
    )


def _require_files(photographs: Sequence[Path]) -> None:
    for path in photographs:
        if path.is_dir():
            raise InputError(
                f"expected photographs, found the folder {path}", hint=f"give its files, or --camera {path}"
            )


def _identify(arguments: argparse.Namespace) -> Output:
    from edge_sdk.cameras import FolderCamera, frames

    if not arguments.photographs:
        arguments.parser.error("give one or more photographs")
    _require_files(arguments.photographs)
    recognizer = _open_recognizer(arguments, open_embedder(arguments))
    _note_attempts(recognizer, len(arguments.photographs))
    answered: list[tuple[Path, Recognition, tuple[OwnerScore, ...]]] = []
    for path in arguments.photographs:
        pictures: list[UInt8Array] = []
        with reported(path), FolderCamera([path], rotate=arguments.rotate) as camera:
            pictures += frames(camera)
        with explained_threshold(arguments):
            for picture in pictures:
                answer = recognizer.identify(picture)
                # A lockout also ends the diagnosis; a face that was not good enough has no scores.
                shows = arguments.owner_scores and answer.counted and answer.decision.value != "locked_out"
                answered.append((path, answer, recognizer.owner_scores(picture) if shows else ()))
    return Output(
        [
            {"image": str(path), **_answer_to_json(answer), **_scores_to_json(arguments, scores)}
            for path, answer, scores in answered
        ],
        "\n".join(
            f"{escaped_line(path)}: {_format_answer(answer)}{_format_scores(scores)}"
            for path, answer, scores in answered
        ),
        all(answer.accepted for _, answer, _ in answered),
        failed=len(answered) < len(arguments.photographs),
    )


def _note_attempts(recognizer: Recognizer, photographs: int) -> None:
    """Say that photographs count as attempts before many of them lock a door."""
    from edge_sdk.gallery.rules.in_words import attempts_in_words

    limit = recognizer.gallery.attempts.status()
    if limit is not None and photographs > 1:
        console.say(
            PROGRAM,
            f"note: each photograph is an attempt: {attempts_in_words(limit.free, limit.most, limit.wait_s)};"
            " to compare photographs without attempts, use face evidence",
        )


def _readable(camera: Camera, photographs: Sequence[Path], readable: list[Path]) -> Iterator[UInt8Array]:
    """Read photographs and add the path of each to `readable`; report damaged ones and go on."""
    for path in photographs:
        try:
            frame = camera.read()
        except InputError as error:
            console.say(PROGRAM, f"not used: {error}")
            continue
        if frame is not None:
            readable.append(path)
            yield frame


def _watch(arguments: argparse.Namespace) -> Output:
    recognizer = _open_recognizer(arguments, open_embedder(arguments))
    accepted = False
    with camera_named(arguments.camera, rotate=arguments.rotate) as camera, explained_threshold(arguments):
        for answer in recognizer.watch(camera, seconds=arguments.seconds, attempts=arguments.attempts):
            # Flush each line, because a person or a program waits for it.
            text = json.dumps(_answer_to_json(answer)) if arguments.json else _format_answer(answer)
            print(escaped(text), flush=True)
            accepted |= answer.accepted
    return Output(None, "", accepted)


def _open_recognizer(arguments: argparse.Namespace, embedder: Embedder) -> Recognizer:
    from edge_sdk.recognizer import Recognizer
    from edge_sdk.recognizer.networks import open_liveness
    from edge_sdk.vision.quality import Limits

    enrolment_limits = Limits.enrolment(allow=arguments.allow) if "allow" in arguments else None
    gallery = open_gallery(arguments, embedder.model_id)
    detector = resolve_detector(
        arguments.detector, gallery, smallest_face_px=arguments.smallest_face, threads=arguments.threads
    )
    pad = open_liveness(arguments.pad, gallery, threads=arguments.threads) if arguments.pad else None
    # enrol has no threshold options: the gallery's enrolment checks apply.
    threshold = choose_threshold(arguments, embedder.card, gallery) if "fpir" in arguments else None
    return Recognizer(
        detector,
        embedder,
        gallery,
        pad=pad,
        enrolment_limits=enrolment_limits,
        threshold=threshold,
        rotate=arguments.rotate,
    )


def _answer_to_json(answer: Recognition) -> dict[str, Any]:
    return {
        "decision": answer.decision.value,
        "subject": answer.subject,
        "reason": answer.reason or None,
        "code": answer.code or None,
        "counted": answer.counted,
        "box": None if answer.face is None else [round(side, 1) for side in answer.face.box],
    }


def _scores_to_json(arguments: argparse.Namespace, scores: tuple[OwnerScore, ...]) -> dict[str, Any]:
    return {"owner_scores": [asdict(score) for score in scores]} if arguments.owner_scores else {}


def _format_scores(scores: tuple[OwnerScore, ...]) -> str:
    words = [
        f"{score.subject} {score.score:.2f}"
        + ("" if score.threshold is None else f" of {score.threshold:.2f}")
        for score in scores
    ]
    return f"; owner's scores: {', '.join(words)}" if words else ""


def _format_answer(answer: Recognition) -> str:
    decision = answer.decision.value.replace("_", " ")
    if answer.accepted:
        return f"{decision} as {answer.subject}"
    return f"{decision} ({answer.reason})" if answer.reason else decision
