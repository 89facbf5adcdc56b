"""``edge-sdk doctor``: what this device has, what it lacks, and whether it computes rightly."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk import console
from edge_sdk.cli.arguments import add_command, add_gallery_arguments, open_gallery, tell

if TYPE_CHECKING:
    from edge_sdk.diagnostics.doctor import CheckResult


def add_commands(commands: Any) -> None:
    """Add the command."""
    doctor = add_command(
        commands,
        "doctor",
        "check this device: packages, camera, heat, a model on its CPU and delegates, a gallery",
        _doctor,
        example="doctor --model face.tflite --gallery home.gallery --key home.key --delegate libedgetpu.so.1",
    )
    doctor.add_argument("--model", type=Path, help="a .tflite whose golden vectors to run")
    doctor.add_argument(
        "--delegate",
        action="append",
        default=[],
        metavar="LIBRARY",
        help="a delegate's shared library to hold against the model; more than once for several",
    )
    add_gallery_arguments(doctor, required=False)


def _doctor(arguments: argparse.Namespace) -> int:
    from edge_sdk.diagnostics.doctor import CheckStatus

    results = list(_examine(arguments))
    failed = sum(finding.status is CheckStatus.FAIL for finding in results)
    tell(
        arguments,
        {"healthy": not failed, "findings": [finding.to_json() for finding in results]},
        "\n".join(_lines(results)),
    )
    return console.CLEAN_NEGATIVE if failed else 0


def _examine(arguments: argparse.Namespace) -> Iterator[CheckResult]:
    from edge_sdk.diagnostics.doctor.check_result import fail
    from edge_sdk.diagnostics.doctor.hardware import check_hardware
    from edge_sdk.diagnostics.doctor.packages import check_packages

    yield from check_packages()
    yield from check_hardware()
    if arguments.model is not None:
        from edge_sdk.diagnostics.doctor.model import check_model

        yield from check_model(arguments.model, arguments.delegate)
    elif arguments.delegate:
        yield fail("delegate", "no model to hold it against", "say --model FILE as well")
    if arguments.gallery is not None:
        yield from _gallery(arguments)


def _gallery(arguments: argparse.Namespace) -> Iterator[CheckResult]:
    from edge_sdk.diagnostics.doctor.check_result import fail

    if arguments.key is None:
        yield fail("gallery", "no key was given to open it", "say --key FILE or --passphrase as well")
        return
    try:
        from edge_sdk.diagnostics.doctor.gallery import check_gallery
    except ImportError:
        return  # cryptography is missing, which the packages' check has said
    yield from check_gallery(lambda: open_gallery(arguments, None), model_sha256=_digest(arguments.model))


def _digest(model: Path | None) -> str | None:
    from edge_sdk.errors import EdgeSdkError
    from edge_sdk.model.model_file import ModelFile

    try:
        return None if model is None else ModelFile.open(model).sha256
    except EdgeSdkError:
        return None  # the model's own check has said so


def _lines(results: list[CheckResult]) -> Iterator[str]:
    width = max(len(finding.check) for finding in results)
    for finding in results:
        yield f"{finding.status.value:<4}  {finding.check:<{width}}  {finding.message}"
        if finding.advice:
            yield f"{'':<4}  {'':<{width}}  -> {finding.advice}"
