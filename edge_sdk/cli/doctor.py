"""``edge-sdk doctor``: check packages, hardware, a model's results and a gallery on this device."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import Output, add_command, add_gallery_arguments, take_from_installation
from edge_sdk.cli.opening import open_gallery

if TYPE_CHECKING:
    from edge_sdk.diagnostics.doctor import CheckResult
    from edge_sdk.gallery import Gallery
    from edge_sdk.model.model_id import ModelId

_LONG = 100


def add_commands(commands: Any) -> None:
    """Add the command `doctor`."""
    doctor = add_command(
        commands,
        "doctor",
        "check packages, camera, temperature, a model on CPU and delegates, and a gallery",
        _doctor,
        details="Without --model and --gallery, everything in the installation is checked, if there is one. The exit code is 1 if a"
        " check fails.",
        example="doctor --model face.tflite --gallery home.gallery --key home.key --delegate libedgetpu.so.1",
    )
    take_from_installation(doctor, "model", required=False)
    doctor.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model (.tflite) to run on its golden vectors (default: the installation's if no gallery is given, otherwise"
        " none)",
    )
    doctor.add_argument(
        "--delegate",
        action="append",
        default=[],
        metavar="LIBRARY",
        help="shared library of a delegate; its results are compared with the golden vectors; may be repeated"
        " (default: none)",
    )
    add_gallery_arguments(doctor, required=False)


def _doctor(arguments: argparse.Namespace) -> Output:
    from edge_sdk.diagnostics.doctor import CheckStatus

    results = list(examine(arguments))
    failed = any(result.status is CheckStatus.FAIL for result in results)
    return Output(
        {"healthy": not failed, "findings": [result.to_json() for result in results]},
        "\n".join(format_results(results)),
        not failed,
    )


def examine(
    arguments: argparse.Namespace, *, opener: Callable[[], Gallery] | None = None
) -> Iterator[CheckResult]:
    """Run the checks that the arguments select; see `add_commands`.

    Args:
        arguments: Arguments of the command.
        opener: Opens the gallery; None to open the one that the arguments name.
    """
    from edge_sdk.diagnostics.doctor.check_result import fail
    from edge_sdk.diagnostics.doctor.hardware import check_hardware
    from edge_sdk.diagnostics.doctor.packages import check_packages

    yield from check_packages()
    yield from check_hardware()
    if arguments.installed is not None:
        from edge_sdk.diagnostics.doctor.installation import check_installation

        yield from check_installation(arguments.installed)
    elif arguments.model is None and arguments.gallery is None:
        from edge_sdk.diagnostics.doctor.installation import missing_installation

        yield from missing_installation()
    if arguments.model is not None:
        from edge_sdk.diagnostics.doctor.model import check_model

        yield from check_model(arguments.model, arguments.delegate)
    elif arguments.delegate:
        yield fail("delegate", "no model to run on the delegate", "give --model FILE as well")
    if arguments.gallery is not None:
        yield from _examine_gallery(arguments, opener)


def _examine_gallery(
    arguments: argparse.Namespace, opener: Callable[[], Gallery] | None
) -> Iterator[CheckResult]:
    from edge_sdk.diagnostics.doctor.check_result import fail

    if arguments.key is None:
        yield fail("gallery", "no key to open the gallery", "give --key KEY or --passphrase as well")
        return
    try:
        from edge_sdk.diagnostics.doctor.gallery import check_gallery
    except ImportError:
        return  # cryptography is missing, which check_packages has reported
    yield from check_gallery(
        opener or (lambda: open_gallery(arguments)),
        model_id=_read_model_id(arguments.model),
        installation=arguments.installed,
    )


def _read_model_id(model: Path | None) -> ModelId | None:
    from edge_sdk.errors import EdgeSdkError
    from edge_sdk.model.model_file import ModelFile

    try:
        return None if model is None else ModelFile.open(model).model_id
    except EdgeSdkError:
        return None  # check_model has reported the error


def format_results(results: Sequence[CheckResult]) -> Iterator[str]:
    """Format the results of checks as lines of text."""
    width = max(len(result.check) for result in results)
    for result in results:
        # The parts of a long message are separated by semicolons: one line each.
        parts = result.message.split("; ") if len(result.message) > _LONG else [result.message]
        yield f"{result.status.value:<4}  {result.check:<{width}}  {parts[0]}"
        for part in parts[1:]:
            yield f"{'':<4}  {'':<{width}}  {part}"
        if result.advice:
            yield f"{'':<4}  {'':<{width}}  -> {result.advice}"
