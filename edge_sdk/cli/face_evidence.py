"""``edge-sdk face evidence``: check a model's operating points with pictures of the owner's people."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    PROGRAM,
    Output,
    add_camera_argument,
    add_command,
    add_face_arguments,
    add_gallery_arguments,
    add_model_arguments,
    add_rotate_argument,
    format_count,
    show_progress,
)
from edge_sdk.cli.opening import camera_named, open_embedder, open_gallery, resolve_detector
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.escaping import escaped_line

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery
    from edge_sdk.recognizer.evidence import EvidenceCheck
    from edge_sdk.recognizer.people import People, Person, Pictures
    from edge_sdk.vision.embedder import Embedder

_FPIR = 0.01


def add_evidence(commands: Any) -> None:
    """Add the command `face evidence`."""
    parser = add_command(
        commands,
        "evidence",
        "check the evidence of a model with pictures of your own people and camera",
        _evidence,
        details="Give a folder with one subfolder per person, or let people stand in front of the camera one after another\n"
        "(--name once per person). The command checks if all of them are apart, if each is recognized in further pictures,\n"
        "and, from 10 people and strangers on, if different people are as unlike at this camera as in the model's evidence.\n"
        "No threshold is changed or derived: that takes hundreds of people (edge-convert evaluate --plan).\n"
        "The exit code is 1 if a problem was found.",
        example="face evidence people/ --strangers others/ --model face.tflite --detector yunet.tflite",
    )
    parser.add_argument(
        "photographs",
        type=Path,
        nargs="?",
        metavar="people",
        help="folder with one subfolder of photographs (JPEG, PNG, PPM) per person",
    )
    parser.add_argument(
        "--strangers",
        type=Path,
        metavar="DIR",
        help="photographs of other people, taken with the same camera: each shows another person, or one subfolder per"
        " person; at most 128 people and strangers together (default: none)",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="NAME",
        help="with a camera: person who poses; repeat it for each person (default: none)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        help="with a camera: time for each person, in seconds (default: 30)",
    )
    parser.add_argument(
        "--fpir",
        type=float,
        metavar="RATE",
        help="false positive identification rate of one search, above 0 and below 1 (default: that of the gallery's"
        " policy, without a gallery 0.01)",
    )
    add_camera_argument(parser, parser, required=False)
    add_gallery_arguments(parser, required=False)
    add_model_arguments(parser)
    add_face_arguments(parser)
    add_rotate_argument(parser)


def _evidence(arguments: argparse.Namespace) -> Output:
    from edge_sdk.recognizer.evidence import check_evidence
    from edge_sdk.recognizer.evidence_words import evidence_in_words
    from edge_sdk.recognizer.people import People, Pictures
    from edge_sdk.recognizer.sampling import Sampler

    _check_usage(arguments)
    embedder = open_embedder(arguments)
    gallery = _gallery(arguments, embedder)
    detector = resolve_detector(
        arguments.detector, gallery, smallest_face_px=arguments.smallest_face, threads=arguments.threads
    )
    pictures = Pictures(detector, Sampler(detector, embedder), rotate=arguments.rotate)
    if arguments.photographs:
        with show_progress("{done:.0f} of {total:.0f} photographs") as progress:
            people = pictures.of_folders(arguments.photographs, progress=progress)
    else:
        people = _pose(arguments, pictures)
    strangers = People(())
    if arguments.strangers is not None:
        with show_progress("{done:.0f} of {total:.0f} photographs of strangers") as progress:
            strangers = pictures.of_strangers(arguments.strangers, progress=progress)
    _require_pictures(people, arguments.photographs or arguments.camera)
    fpir, references, least = _policy(arguments, gallery)
    check = check_evidence(
        {person.name: person.embeddings for person in people.people},
        embedder.card,
        fpir=fpir,
        references=references,
        least_threshold=least,
        strangers={person.name: person.embeddings for person in strangers.people},
    )
    names = {person.name: person.pictures for person in people.people}
    lines = [
        f"{escaped_line(name)} not used: {reason}" for name, reason in (*people.refused, *strangers.refused)
    ]
    lines += evidence_in_words(check, names, missing=people.missing)
    if not arguments.photographs:
        lines.append(
            "pictures of one visit are alike: at the door, on another day, fewer pictures are recognized"
        )
    return Output(_to_json(check, people, strangers), "\n".join(lines), check.fine and not people.missing)


def _check_usage(arguments: argparse.Namespace) -> None:
    refuse = arguments.parser.error
    posing = arguments.name or arguments.seconds is not None or arguments.camera
    if arguments.photographs and posing:
        refuse("give either a folder of people, or --camera and --name")
    if not arguments.photographs and not (arguments.camera and arguments.name):
        refuse("give a folder of people, or --camera and --name once per person")
    if len(set(arguments.name)) < len(arguments.name):
        refuse("each --name is another person")
    if arguments.pad and "pad" not in arguments.taken:
        refuse("--pad has no effect here: pictures are not checked for presentation attacks")


def _gallery(arguments: argparse.Namespace, embedder: Embedder) -> Gallery | None:
    # The installation's gallery belongs to its model.
    if arguments.gallery is None or ("gallery" in arguments.taken and "model" not in arguments.taken):
        return None
    return open_gallery(arguments, embedder.model_id)


def _policy(arguments: argparse.Namespace, gallery: Gallery | None) -> tuple[float, int, float]:
    """Return the FPIR, the number of templates and the threshold of the gallery, as far as there are any."""
    if gallery is None:
        return (_FPIR if arguments.fpir is None else arguments.fpir), 0, -1.0
    status, policy = gallery.status(), gallery.policy
    if arguments.fpir is not None:
        return arguments.fpir, status.templates, -1.0
    fpir = _FPIR if policy is None else policy.fpir
    return fpir, status.templates, -1.0 if status.threshold is None else status.threshold


def _pose(arguments: argparse.Namespace, pictures: Pictures) -> People:
    from edge_sdk.recognizer.people import People
    from edge_sdk.recognizer.posing import NO_PICTURE

    people: list[Person] = []
    missing: list[tuple[str, str]] = []
    for name in arguments.name:
        console.say(PROGRAM, f"{name}: stand alone in front of the camera, and move a little")
        if sys.stdin.isatty():
            console.say(PROGRAM, "press Enter to begin")
            sys.stdin.readline()
        # Opened for each person, so that no frame of the person before is in a buffer.
        with camera_named(arguments.camera, rotate=arguments.rotate) as camera:
            try:
                person = pictures.of_camera(
                    camera,
                    name,
                    seconds=30.0 if arguments.seconds is None else arguments.seconds,
                    guide=lambda hint: console.say(PROGRAM, hint),
                )
            except AcquisitionError as error:
                if error.reason != NO_PICTURE:
                    raise
                missing.append((name, error.hint or str(error)))
                continue
        console.say(PROGRAM, f"{name}: {format_count(len(person.pictures), 'good picture')}")
        people.append(person)
    return People(tuple(people), tuple(missing), tuple(name for name, _ in missing))


def _require_pictures(people: People, source: Path | str) -> None:
    if not people.people:
        name, reason = people.refused[0]
        raise InputError(f"{source}: expected good pictures of people, found none; {name}: {reason}")


def _to_json(check: EvidenceCheck, people: People, strangers: People) -> dict[str, Any]:
    transfer, camera = check.camera.transfer, check.camera
    return {
        "fine": check.fine and not people.missing,
        "threshold": check.threshold,
        "fpir": check.fpir,
        "references": check.references,
        "people": [
            {
                "name": person.name,
                "templates": person.templates,
                "further_pictures": person.probes,
                "recognized": person.matches,
                "unlike": [pictures.pictures[index] for index in person.unlike],
            }
            for person, pictures in zip(check.people, people.people, strict=True)
        ],
        "pairs": [
            {
                "people": [pair.first, pair.second],
                "comparisons": pair.comparisons,
                "matches": pair.matches,
                "apart": pair.apart,
            }
            for pair in check.pairs
        ],
        "camera": {
            "state": transfer.state.value,
            "people": transfer.subjects,
            "pairs": transfer.pairs,
            "matches": transfer.matches,
            "expected": transfer.expected,
            "threshold": transfer.threshold,
            "p_value": transfer.p_value,
            "matching_share_at_most": camera.at_most,
            "matching_share_noticed": camera.noticed,
        },
        "strangers": None
        if check.strangers is None
        else {"people": check.strangers.people, "accepted": list(check.strangers.accepted)},
        "refused": [
            {"picture": name, "reason": reason} for name, reason in (*people.refused, *strangers.refused)
        ],
        "missing": list(people.missing),
    }
