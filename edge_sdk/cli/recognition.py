"""``edge-sdk enrol|verify|identify``: recognize subjects in aligned crops, or in arrays."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import (
    GALLERY_EXAMPLE,
    Output,
    add_command,
    add_enrolment_arguments,
    add_gallery_arguments,
    add_model_arguments,
    add_threshold_arguments,
    enrolment_options,
    format_enrolment,
    reported,
)
from edge_sdk.cli.opening import (
    choose_threshold,
    explained_threshold,
    open_embedder,
    open_gallery,
    open_or_create_gallery,
)
from edge_sdk.errors import CaptureError, InputError
from edge_sdk.escaping import escaped_line

if TYPE_CHECKING:
    from edge_sdk.gallery import Identification, Verification
    from edge_sdk.types import FloatArray, SampleArray
    from edge_sdk.vision.embedder import Embedder

_FILES = f"--model face.tflite {GALLERY_EXAMPLE}"


def add_commands(commands: Any) -> None:
    """Add `enrol`, `verify` and `identify`."""
    enrol = add_command(
        commands,
        "enrol",
        "enrol one subject from aligned crops or arrays",
        _enrol,
        details="Create the gallery and its key file if they do not exist. With --add, the gallery and the subject must exist.",
        example=f"enrol alice alice-1.jpg alice-2.jpg {_FILES}",
    )
    add_enrolment_arguments(enrol, "subject")
    enrol.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="image",
        help="samples of the subject: aligned crops (JPEG, PNG or PPM files), or .npy files for a network that takes arrays",
    )
    verify = add_command(
        commands,
        "verify",
        "compare an aligned crop or an array with one subject (1:1)",
        _verify,
        example=f"verify alice probe.jpg {_FILES} --fmr 1e-4",
    )
    verify.add_argument("subject", help="name that the person claims")
    verify.add_argument(
        "image",
        type=Path,
        help="aligned crop: a JPEG, PNG or PPM file; or a .npy file for a network that takes arrays",
    )
    identify = add_command(
        commands,
        "identify",
        "search the gallery for the subject of each aligned crop or array (1:N)",
        _identify,
        details="Each file is one attempt. The exit code is 0 if every file is accepted.",
        example=f"identify probe.jpg {_FILES} --fpir 0.01",
    )
    identify.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="image",
        help="aligned crops: JPEG, PNG or PPM files; or .npy files for a network that takes arrays",
    )
    for parser in (enrol, verify, identify):
        add_gallery_arguments(parser)
        add_model_arguments(parser)
    add_threshold_arguments(verify, search=False)
    add_threshold_arguments(identify, search=True)


def _enrol(arguments: argparse.Namespace) -> Output:
    from edge_sdk.gallery.captures.crops import Crops
    from edge_sdk.model.array_contract import image_contract
    from edge_sdk.model.card import InputContract
    from edge_sdk.vision.crop_checks import check_crops
    from edge_sdk.vision.quality import Limits, weakened_limits

    # Checked before the gallery and its key are created, so that a malformed argument leaves no new files.
    options = enrolment_options(arguments)
    embedder = open_embedder(arguments)
    crops = _read_samples(embedder, arguments.images)
    contract = embedder.card.input
    if arguments.store_captures is not None:
        image_contract(contract)
    if isinstance(contract, InputContract) and contract.alignment is not None:
        limits = Limits.enrolment(allow=arguments.allow)
        check_crops(crops, contract, limits)
        options = replace(options, weaker_limits=weakened_limits(limits))
    embeddings = _embed(embedder, crops)
    gallery = (
        open_gallery(arguments, embedder.model_id)
        if options.add
        else open_or_create_gallery(arguments, embedder)
    )
    if arguments.store_captures is not None:
        gallery.captures.require_on()
        images = [crop for _, crop in crops]
        captures = Crops.received(images, image_contract(contract), consent=arguments.store_captures)
        options = replace(options, captures=captures)
    try:
        gallery.enrol(arguments.subject, embeddings, options)
    except CaptureError as error:
        raise InputError(f"{arguments.images[error.capture]}: {error}", hint=error.hint) from error
    count = len(arguments.images)
    return Output(
        {"enrolled": arguments.subject, "templates": count, "added": options.add},
        format_enrolment(arguments.subject, count, options),
    )


def _verify(arguments: argparse.Namespace) -> Output:
    embedder = open_embedder(arguments)
    gallery = open_gallery(arguments, embedder.model_id)
    threshold = choose_threshold(arguments, embedder.card, gallery)
    probe = _embed_files(embedder, [arguments.image])[0]
    with explained_threshold(arguments):
        answer = gallery.verify(probe, arguments.subject, threshold=threshold)
    return Output(
        _answer_to_json(answer),
        f"{escaped_line(arguments.image)}: {_format_decision(answer)} as {answer.subject}",
        answer.accepted,
    )


def _identify(arguments: argparse.Namespace) -> Output:
    embedder = open_embedder(arguments)
    gallery = open_gallery(arguments, embedder.model_id)
    threshold = choose_threshold(arguments, embedder.card, gallery)
    answered: list[tuple[Path, Identification]] = []
    for image in arguments.images:
        probes: list[FloatArray] = []
        with reported(image):
            probes += list(_embed_files(embedder, [image]))
        with explained_threshold(arguments):
            answered += [(image, gallery.identify(probe, threshold=threshold)) for probe in probes]
    return Output(
        [{"image": str(image), **_answer_to_json(answer)} for image, answer in answered],
        "\n".join(
            f"{escaped_line(image)}: {_format_decision(answer)}"
            + (f" as {answer.subject}" if answer.subject else "")
            for image, answer in answered
        ),
        all(answer.accepted for _, answer in answered),
        failed=len(answered) < len(arguments.images),
    )


def _answer_to_json(answer: Identification | Verification) -> dict[str, str | None]:
    reason = None if answer.reason is None else answer.reason.value
    return {"decision": answer.decision.value, "subject": answer.subject, "reason": reason}


def _format_decision(answer: Identification | Verification) -> str:
    decision = answer.decision.value.replace("_", " ")
    return decision if answer.reason is None else f"{decision} ({answer.reason.value})"


def _embed_files(embedder: Embedder, paths: Sequence[Path]) -> FloatArray:
    return _embed(embedder, _read_samples(embedder, paths))


def _read_samples(embedder: Embedder, paths: Sequence[Path]) -> list[tuple[str, SampleArray]]:
    from edge_sdk.model.array_contract import ArrayContract
    from edge_sdk.model.array_file import read_array
    from edge_sdk.vision.images import read_image

    contract = embedder.card.input
    if isinstance(contract, ArrayContract):
        return [(str(path), read_array(path, contract)) for path in paths]
    return [(str(path), read_image(path, color=contract.color)) for path in paths]


def _embed(embedder: Embedder, samples: Sequence[tuple[str, SampleArray]]) -> FloatArray:
    import numpy as np

    from edge_sdk.model.array_contract import ArrayContract

    arrays = isinstance(embedder.card.input, ArrayContract)
    embed = embedder.embed_array if arrays else embedder.embed
    return np.stack([embed(sample) for _, sample in samples])
