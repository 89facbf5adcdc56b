"""``edge-convert auxiliary``: convert networks that do not compute embeddings."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, print_result, size


def register(commands: Any) -> None:
    """Add the command ``auxiliary``."""
    parser = add_command(
        commands,
        "auxiliary",
        "convert a face detector or a presentation attack detector",
        _run,
        examples=(
            "auxiliary yunet.onnx --method yunet --calibration photos/ --output converted/",
            "auxiliary yunet.onnx --method yunet --size 240x320 --calibration photos/ --output converted/",
            "auxiliary yunet.onnx --method yunet --recipe converted/yunet.cpu_int8.recipe.json --output again/",
            "auxiliary minifasnet_v2.onnx --method minifasnet --crop-scale 2.7 --output converted/",
        ),
        details="Writes a float file, and an int8 file if calibration images or a recipe are given. For a detector, the calibration "
        "images are combined into frames that show faces of several sizes.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL.onnx", help="ONNX file")
    parser.add_argument(
        "--method",
        required=True,
        choices=("yunet", "minifasnet"),
        help="kind of network: yunet detects faces, minifasnet detects presentation attacks",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder for the files; either all files are written or none",
    )
    parser.add_argument(
        "--calibration",
        type=Path,
        metavar="IMAGES",
        help="folder, .tar or .zip of calibration images for the int8 file (default: none; without --recipe only the float file is written)",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="FILE",
        help=".recipe.json of an earlier conversion to replay: its recorded statistics are used if no images are given, and"
        " measured again if images are given (default: the shipped recipe)",
    )
    parser.add_argument(
        "--size",
        type=size,
        metavar="HxW",
        help="input height and width in pixels (default: that of the recipe, otherwise 320x320 for yunet and 80x80 for"
        " minifasnet)",
    )
    parser.add_argument(
        "--crop-scale",
        type=float,
        metavar="FACTOR",
        help="size of minifasnet's crop as a multiple of the face box, 1..16; required for minifasnet",
    )
    parser.add_argument("--name", default="", help="name of the network (default: the file name)")
    parser.add_argument("--version", default="1", help="version of the network for its card (default: 1)")
    parser.add_argument("--licence", default="", help="licence of the network for its card (default: empty)")


def _run(arguments: argparse.Namespace) -> int:
    from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary

    scale = arguments.crop_scale
    report = convert_auxiliary(
        AuxiliaryRequest(
            model=arguments.model,
            method=arguments.method,
            output=arguments.output,
            calibration=arguments.calibration,
            recipe=arguments.recipe,
            size=tuple(arguments.size) if arguments.size else None,
            parameters={} if scale is None else {"crop_scale": scale},
            name=arguments.name,
            version=arguments.version,
            licence=arguments.licence,
        )
    )
    print_result(arguments, report.to_json(), f"{report.to_text()}\nwritten to {arguments.output}")
    return 0
