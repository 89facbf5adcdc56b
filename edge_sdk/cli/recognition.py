"""Enrol, verify and identify, from aligned crops in image files."""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import (
    PROGRAM,
    add_command,
    add_gallery_arguments,
    add_validity_arguments,
    open_gallery,
    open_or_create,
    tell,
)
from edge_sdk.errors import CaptureError, InputError, ModelCardError

if TYPE_CHECKING:
    from edge_sdk.gallery import Gallery, Identification, Verification
    from edge_sdk.model.card import ModelCard
    from edge_sdk.types import FloatArray
    from edge_sdk.vision.embedder import Embedder

_FILES = "--model face.tflite --gallery home.gallery --key home.key"


def add_commands(commands: Any) -> None:
    """Add the three commands."""
    enrol = add_command(
        commands,
        "enrol",
        "enrol one subject from one or more images",
        _enrol,
        example=f"enrol alice alice-1.jpg alice-2.jpg {_FILES}",
    )
    enrol.add_argument("subject", help="a name of your choice, 1 to 64 bytes")
    enrol.add_argument("images", nargs="+", type=Path, help="JPEG, PNG or PPM crops of the subject")
    enrol.add_argument(
        "--allow-duplicate",
        action="store_true",
        help="enrol although somebody enrolled looks alike: an administrator has made sure that they are two",
    )
    enrol.add_argument("--label", default="", help="free text to keep with the subject")
    add_validity_arguments(enrol)
    verify = add_command(
        commands,
        "verify",
        "ask whether an image shows the subject (1:1)",
        _verify,
        example=f"verify alice probe.jpg {_FILES} --fmr 1e-4",
    )
    verify.add_argument("subject", help="the name that is claimed")
    verify.add_argument("image", type=Path, help="a JPEG, PNG or PPM crop")
    identify = add_command(
        commands,
        "identify",
        "ask who images show (1:N)",
        _identify,
        example=f"identify probe.jpg {_FILES} --fpir 0.01",
    )
    identify.add_argument("images", nargs="+", type=Path, help="JPEG, PNG or PPM crops, each one probe")
    for parser in (enrol, verify, identify):
        add_gallery_arguments(parser)
        add_model_arguments(parser)
    add_threshold_arguments(verify, search=False)
    add_threshold_arguments(identify, search=True)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The embedder's file, and what runs it."""
    parser.add_argument("--model", type=Path, required=True, help="a .tflite that edge-convert made")
    parser.add_argument("--model-sha256", help="the digest it must have; checked before it is parsed")
    parser.add_argument(
        "--delegate",
        metavar="LIBRARY",
        help="such as libedgetpu.so.1; the CPU runs where its answers are wrong",
    )


def add_threshold_arguments(parser: argparse.ArgumentParser, *, search: bool) -> None:
    """What to decide by where the gallery's own policy is not asked; `search` for 1:N."""
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--fmr", type=float, help="use the card's operating point at this FMR")
    threshold.add_argument("--threshold", type=float, help="cosine to reach, where the card has no evidence")
    if search:
        threshold.add_argument(
            "--fpir",
            type=float,
            help="let at most this share of strangers in, whatever the gallery's size",
        )


def _enrol(arguments: argparse.Namespace) -> int:
    from edge_sdk.gallery.transaction import checked_text

    # Names and images are looked at before the gallery is touched, so a bad one leaves no new files behind.
    checked_text(arguments.subject, "a subject's name", min_bytes=1)
    checked_text(arguments.label, "a label", min_bytes=0)
    embedder = open_embedder(arguments)
    embeddings = _embed(embedder, arguments.images)
    gallery = open_or_create(arguments, embedder)
    try:
        gallery.enrol(
            arguments.subject,
            embeddings,
            label=arguments.label,
            valid_from=arguments.valid_from,
            valid_until=arguments.valid_until,
            allow_duplicate=arguments.allow_duplicate,
        )
    except CaptureError as error:
        raise InputError(f"{arguments.images[error.capture]}: {error}", hint=error.hint) from error
    count = len(arguments.images)
    tell(
        arguments,
        {"enrolled": arguments.subject, "templates": count},
        f"enrolled {arguments.subject} with {count} template{'s' if count != 1 else ''}",
    )
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    embedder = open_embedder(arguments)
    gallery = open_gallery(arguments, embedder.model_id)
    threshold = None if _policy_decides(arguments, gallery) else _threshold(arguments, embedder.card)
    answer = gallery.verify(_embed(embedder, [arguments.image])[0], arguments.subject, threshold=threshold)
    tell(
        arguments,
        {"decision": answer.decision.value, "subject": answer.subject, "reason": _reason(answer)},
        f"{arguments.image}: {_said(answer)} as {answer.subject}",
    )
    return 0 if answer.accepted else console.CLEAN_NEGATIVE


def _identify(arguments: argparse.Namespace) -> int:
    embedder = open_embedder(arguments)
    gallery = open_gallery(arguments, embedder.model_id)
    threshold = wished_threshold(arguments, embedder.card, gallery)
    probes = _embed(embedder, arguments.images)
    answers = [gallery.identify(probe, threshold=threshold) for probe in probes]
    tell(
        arguments,
        [
            {
                "image": str(image),
                "decision": answer.decision.value,
                "subject": answer.subject,
                "reason": _reason(answer),
            }
            for image, answer in zip(arguments.images, answers, strict=True)
        ],
        "\n".join(
            f"{image}: {_said(answer)}" + (f" as {answer.subject}" if answer.subject else "")
            for image, answer in zip(arguments.images, answers, strict=True)
        ),
    )
    return 0 if all(answer.accepted for answer in answers) else console.CLEAN_NEGATIVE


def _reason(answer: Identification | Verification) -> str | None:
    return None if answer.reason is None else answer.reason.value


def _said(answer: Identification | Verification) -> str:
    words = answer.decision.value.replace("_", " ")
    return words if answer.reason is None else f"{words} ({answer.reason.value})"


def _policy_decides(arguments: argparse.Namespace, gallery: Gallery) -> bool:
    """Whether nothing was asked for on the command line and the gallery knows by itself."""
    asked = (arguments.threshold, arguments.fmr, getattr(arguments, "fpir", None))
    return gallery.policy is not None and asked == (None, None, None)


def open_embedder(arguments: argparse.Namespace) -> Embedder:
    """The embedder that the arguments name; says so where a delegate is not used."""
    from edge_sdk.runtime.backend_choice import BackendWarning
    from edge_sdk.vision.embedder import Embedder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BackendWarning)  # said below, in this program's voice
        embedder = Embedder.open(arguments.model, sha256=arguments.model_sha256, delegate=arguments.delegate)
    status = embedder.backend
    if status.fallback:
        console.say(PROGRAM, f"warning: {status.fallback}; the CPU runs the network in its place")
    if status.evidence:
        console.say(PROGRAM, f"warning: {status.evidence}")
    return embedder


def _embed(embedder: Embedder, paths: Sequence[Path]) -> FloatArray:
    import numpy as np

    from edge_sdk.vision.images import read_image

    return np.stack([embedder.embed(read_image(path, color=embedder.card.input.color)) for path in paths])


def _threshold(arguments: argparse.Namespace, card: ModelCard) -> float:
    """The threshold the user asked for, by evidence in the card or by number; never one made up here."""
    if arguments.threshold is not None:
        if not -1 <= arguments.threshold <= 1:
            raise InputError(f"expected a cosine threshold in -1..1, found {arguments.threshold:g}")
        return float(arguments.threshold)
    points = sorted(card.operating_points, key=lambda point: point.fmr)
    known = ", ".join(f"{point.fmr:g}" for point in points)
    if not points:
        raise ModelCardError(
            "the model card has no operating point, so no threshold is known",
            hint="measure one with edge-convert evaluate --write-card, or say --threshold",
        )
    if arguments.fmr is None:
        raise ModelCardError(
            f"expected --fmr, one of {known}, or --threshold",
            hint="say how often a stranger may match; or keep it in the gallery: edge-sdk gallery policy",
        )
    for point in points:
        # As exact as the list of known ones is printed.
        if math.isclose(point.fmr, arguments.fmr, rel_tol=1e-5):
            return point.threshold
    raise ModelCardError(f"expected an FMR that the card has evidence for ({known}), found {arguments.fmr:g}")


def wished_threshold(arguments: argparse.Namespace, card: ModelCard, gallery: Gallery) -> float | None:
    """The threshold of a search, None where the gallery's policy decides.

    A wish by FPIR knows that N references are N chances.
    """
    if _policy_decides(arguments, gallery):
        return None
    if arguments.fpir is None:
        return _threshold(arguments, card)
    from edge_sdk.model.operating_point import OperatingPoint

    references = max(1, gallery.status().templates)
    return OperatingPoint.for_identification(
        card.operating_points, fpir=arguments.fpir, references=references
    ).threshold
