"""``edge-convert auxiliary``: networks that give no embedding."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, size, tell

_EXAMPLE = """examples:
  edge-convert auxiliary yunet.onnx --method yunet --calibration photos/ --output converted/
  edge-convert auxiliary yunet.onnx --method yunet --size 240x320 --calibration photos/ --output converted/
  edge-convert auxiliary minifasnet_v2.onnx --method minifasnet --crop-scale 2.7 --output converted/

A float file is always made, an int8 one where there are calibration images. Frames for a detector are put
together from them so that faces of several sizes are seen.
"""


def add_commands(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "auxiliary", "convert a face detector or a presentation attack detector", _EXAMPLE
    )
    parser.set_defaults(run=_auxiliary)
    parser.add_argument("model", type=Path, help="an ONNX file")
    parser.add_argument(
        "--method", required=True, choices=("yunet", "minifasnet"), help="how the network's outputs are read"
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="folder for the files; all of them or none"
    )
    parser.add_argument("--calibration", type=Path, help="folder, .tar or .zip of images, for int8")
    parser.add_argument(
        "--size", type=size, metavar="HxW", help="input height and width (default: 320x320 and 80x80)"
    )
    parser.add_argument(
        "--crop-scale",
        type=float,
        metavar="TIMES",
        help="of minifasnet: how many face boxes its crop is wide",
    )
    parser.add_argument("--name", default="", help="the network's name (default: the file's)")
    parser.add_argument("--version", default="1", help="the network's own version, for its card")
    parser.add_argument("--licence", default="", help="the network's licence, for its card")


def _auxiliary(arguments: argparse.Namespace) -> int:
    from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary

    scale = arguments.crop_scale
    report = convert_auxiliary(
        AuxiliaryRequest(
            model=arguments.model,
            method=arguments.method,
            output=arguments.output,
            calibration=arguments.calibration,
            size=tuple(arguments.size) if arguments.size else None,
            parameters={} if scale is None else {"crop_scale": scale},
            name=arguments.name,
            version=arguments.version,
            licence=arguments.licence,
        )
    )
    tell(arguments, report.to_json(), f"{report.to_text()}\nwritten to {arguments.output}")
    return 0
