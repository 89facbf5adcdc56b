"""``edge-sdk face align``: cut aligned crops out of photographs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edge_sdk.cli.arguments import (
    Output,
    add_command,
    add_rotate_argument,
    format_count,
    show_progress,
    take_from_installation,
)
from edge_sdk.cli.opening import resolve_detector
from edge_sdk.escaping import escaped_line


def add_align(commands: Any) -> None:
    """Add the command `face align`."""
    parser = add_command(
        commands,
        "align",
        "cut aligned crops out of a folder of photographs",
        _align,
        details="Networks that embed faces take aligned crops, not photographs. Use the crops with edge-convert convert"
        " --calibration, evaluate and compare. Subfolders, such as one per person, are kept. Photographs without a face"
        " and turned photographs are listed and left out. --rotate turns all photographs of the folder.",
        example="face align photographs/ --output crops/ --detector yunet.tflite",
    )
    parser.add_argument("photographs", type=Path, help="folder of JPEG, PNG or PPM files")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="new or empty folder for the crops (PNG)"
    )
    take_from_installation(parser, "detector", required=True)
    parser.add_argument(
        "--detector",
        metavar="FILE",
        help="face detector: a .tflite, or NAME:ARGUMENT of a detector plug-in (default: the installation's)",
    )
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="model whose size and landmark template the crops get (default: ArcFace's template at --size)",
    )
    parser.add_argument(
        "--size",
        type=_size,
        default=(112, 112),
        metavar="HxW",
        help="height and width of the crops in pixels, used without --model (default: 112x112)",
    )
    parser.add_argument(
        "--choose",
        choices=("central", "largest"),
        default="central",
        help="face to take if a photograph shows several (default: %(default)s)",
    )
    add_rotate_argument(parser)


def _align(arguments: argparse.Namespace) -> Output:
    from edge_sdk.model.card import InputContract
    from edge_sdk.model.model_file import ModelFile
    from edge_sdk.vision.align_folder import align_folder

    if arguments.model is None:
        height, width = arguments.size
        contract = InputContract(height, width, "rgb", (0.0,) * 3, (1.0,) * 3)
    else:
        contract = ModelFile.open(arguments.model).card.input
    detector = resolve_detector(arguments.detector, None)
    with show_progress("{done:.0f} of {total:.0f} photographs") as progress:
        result = align_folder(
            detector,
            arguments.photographs,
            arguments.output,
            contract,
            choose=arguments.choose,
            rotate=arguments.rotate,
            progress=progress,
        )
    refused = [{"photograph": name, "reason": reason} for name, reason in result.refused]
    lines = [f"{format_count(len(result.written), 'crop')} written to {arguments.output}"]
    lines += [f"{escaped_line(name)} not used: {reason}" for name, reason in result.refused]
    return Output({"written": list(result.written), "refused": refused}, "\n".join(lines))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH such as 112x96, found {text!r}") from error
    return height, width
