"""``edge-convert kit``: build one file with all networks of a device."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import add_command, print_result
from edge_sdk.console import say

if TYPE_CHECKING:
    from converters.kit.bundling import KitResult
    from converters.kit.licences import Terms

_PROGRAM = "edge-convert"


def register(commands: Any) -> None:
    """Add the group ``kit`` and its commands."""
    group = commands.add_parser(
        "kit",
        help="build one file with all networks of a device, their licences and their evidence",
        description="Build a kit: one .edgekit file with all networks of a device, their licences and their evidence."
        " edge-sdk setup installs it.",
        epilog="examples:\n  edge-convert kit face --output kit/\n  edge-convert kit products --output kit/",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(required=True, metavar="KIT", help="kind of kit")
    face = add_command(
        inner,
        "face",
        "download public networks for faces, convert them by recorded recipes and build their kit",
        _face,
        examples=("kit face --output kit/", "kit face --output kit/ --accept-licences"),
        details="No images are needed: the recipes contain the statistics of their calibration, and the evidence was"
        " measured with networks made by the same recipes; the report says if yours have other bytes. If EDGE_SDK_ZOO names a folder, the files are read from it and nothing"
        " is downloaded.",
    )
    face.add_argument(
        "--accept-licences",
        action="store_true",
        help="accept the licences of the networks without a question (default: ask on a terminal, refuse elsewhere)",
    )
    products = add_command(
        inner,
        "products",
        "convert and measure the reference model for products and build its kit, without a download",
        _products,
        examples=("kit products --output kit/",),
        details="Needs a checkout of the project, whose samples contain the model and its images.",
    )
    own = add_command(
        inner,
        "own",
        "build a kit of your own networks",
        _own,
        examples=(
            "kit own --embedder face.cpu_int8.tflite --name office --licence 'internal use' --output kit/",
            "kit own --embedder face.cpu_int8.tflite --detector detector.cpu_int8.tflite --name office"
            " --licence 'internal use' --output kit/",
        ),
        details="The embedder's card must have operating points: edge-convert evaluate --write-card writes them.",
    )
    own.add_argument(
        "--embedder", type=Path, required=True, metavar="FILE", help=".tflite from edge-convert convert"
    )
    own.add_argument(
        "--detector",
        type=Path,
        metavar="FILE",
        help=".tflite of a face detector, from edge-convert auxiliary or from the zoo (default: no detector)",
    )
    own.add_argument(
        "--liveness",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help=".tflite files of presentation attack detection (default: no liveness detection)",
    )
    own.add_argument("--name", required=True, help="name of the kit, in lower case; its file is NAME.edgekit")
    own.add_argument("--version", default="1", help="version of the kit (default: 1)")
    own.add_argument("--licence", required=True, metavar="TEXT", help="licence of the networks")
    own.add_argument(
        "--allow-no-evidence",
        action="store_true",
        help="build the kit even if the embedder's card has too few operating points for a gallery (default: refuse)",
    )
    for parser in (face, products, own):
        parser.add_argument(
            "--output",
            type=Path,
            required=True,
            metavar="DIR",
            help="folder for the kit and its report page; either both are written or none",
        )


def _face(arguments: argparse.Namespace) -> int:
    from converters.kit.build import build_kit
    from converters.kit.definition import FACE

    accept = _accepted if arguments.accept_licences else ask
    return _print(arguments, build_kit(FACE, arguments.output, accept=accept))


def _products(arguments: argparse.Namespace) -> int:
    from converters.kit.products import build_products

    return _print(arguments, build_products(arguments.output))


def _own(arguments: argparse.Namespace) -> int:
    from converters.errors import OptionsError
    from converters.kit.own import OwnKit, bundle_own

    try:
        kit = OwnKit(
            name=arguments.name,
            embedder=arguments.embedder,
            licence=arguments.licence,
            detector=arguments.detector,
            liveness=tuple(arguments.liveness),
            version=arguments.version,
            allow_no_evidence=arguments.allow_no_evidence,
        )
    except OptionsError as error:
        arguments.parser.error(str(error))
    return _print(arguments, bundle_own(kit, arguments.output))


def _print(arguments: argparse.Namespace, result: KitResult) -> int:
    print_result(arguments, result.to_json(), result.to_text())
    return 0


def _show(terms: Sequence[Terms]) -> None:
    say(_PROGRAM, "licences of the networks:")
    for each in terms:
        say(_PROGRAM, f"  {each.line()}")


def _accepted(terms: Sequence[Terms]) -> bool:
    _show(terms)
    return True


def ask(terms: Sequence[Terms], *, read: Callable[[], str] = input) -> bool:
    """Ask on the terminal if the licences are accepted; without a terminal they are not."""
    _show(terms)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print("accept these licences? [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        return read().strip().lower() in ("y", "yes")
    except EOFError:
        return False
