"""``edge-sdk explain``: show which places of two images make their cosine."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.cli.arguments import Output, add_command, add_model_arguments
from edge_sdk.errors import InputError
from edge_sdk.escaping import escaped_line

if TYPE_CHECKING:
    from edge_sdk.types import FloatArray
    from edge_sdk.vision.explanation import PairExplanation

_LISTED = 5


def add_commands(commands: Any) -> None:
    """Add the command `explain`."""
    parser = add_command(
        commands,
        "explain",
        "show which places of two images make them alike for a model",
        _explain,
        details="The method positions splits the cosine exactly by position of the last activation map: the shares, a share of the\n"
        "constants and a remainder from rounding add up to it. It needs a network that is linear after its last activation.\n"
        "The method occlusion moves a grey patch over each image and measures the decrease of the cosine; it needs one\n"
        "embedding for each place, and works for every network of images. The picture shows both images.",
        example="explain a.jpg b.jpg --model face.tflite --output explained.png",
    )
    parser.add_argument("first", type=Path, metavar="A.jpg", help="aligned crop: a JPEG, PNG or PPM file")
    parser.add_argument("second", type=Path, metavar="B.jpg", help="another aligned crop")
    add_model_arguments(parser, delegate=False)
    parser.add_argument(
        "--method",
        choices=("positions", "occlusion", "both"),
        default="positions",
        help="how to explain the cosine (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE.png",
        help="picture of both images with their maps; replaces an existing file (default: none)",
    )


def _explain(arguments: argparse.Namespace) -> Output:
    from edge_sdk.model.model_file import ModelFile
    from edge_sdk.vision.explanation import METHODS, PairExplainer, explained_contract
    from edge_sdk.vision.images import check_image, read_image
    from edge_sdk.vision.resize import fit

    file = ModelFile.open(arguments.model, sha256=arguments.model_sha256)
    contract = explained_contract(file.card.input)
    methods = METHODS if arguments.method == "both" else (arguments.method,)
    crops = []
    for path in (arguments.first, arguments.second):
        image = check_image(read_image(path, color=contract.color), contract.channels)
        crops.append(fit(image, contract.height, contract.width))
    explanation = PairExplainer(file.data, contract, methods=methods).explain(crops[0], crops[1])
    value = {"first": str(arguments.first), "second": str(arguments.second), **explanation.to_json()}
    lines = list(_format(explanation, arguments.first, arguments.second))
    if arguments.output is not None:
        _write(explanation, arguments)
        value["picture"] = str(arguments.output)
        lines.append(f"picture written to {escaped_line(arguments.output)}")
    return Output(value, "\n".join(lines))


def _write(explanation: PairExplanation, arguments: argparse.Namespace) -> None:
    from edge_sdk.vision.explanation_picture import explanation_picture, png

    picture = png(explanation_picture(explanation, names=(arguments.first.name, arguments.second.name)))
    part = arguments.output.with_name(f".{arguments.output.name}.part")
    try:
        part.write_bytes(picture)
        part.replace(arguments.output)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"{arguments.output}: cannot write the picture: {error.strerror or error}"
        ) from error


def _format(explanation: PairExplanation, first: Path, second: Path) -> Iterator[str]:
    yield f"cosine {explanation.cosine:+.4f}"
    if explanation.refused:
        yield f"no shares of positions: {explanation.refused}"
    if explanation.positions is not None:
        for name, shares in zip((first, second), explanation.positions, strict=True):
            yield (
                f"{escaped_line(name)}: positions {shares.values.sum():+.4f}, constants {shares.constant:+.4f},"
                f" remainder {shares.remainder:+.1e}"
            )
            yield f"  greatest shares: {_greatest(shares.values)}"
    if explanation.occlusion is not None:
        for name, occlusion in zip((first, second), explanation.occlusion, strict=True):
            yield f"{escaped_line(name)}: decrease under a grey patch of {occlusion.patch_px} px"
            yield f"  greatest decreases: {_greatest(occlusion.falls)}"


def _greatest(values: FloatArray) -> str:
    """List the greatest values with row and column, counted from 1 at the top left."""
    rows, columns = values.shape
    order = (-values.ravel()).argsort(kind="stable")[:_LISTED]
    places = (f"{values.ravel()[i]:+.3f} at row {i // columns + 1}, column {i % columns + 1}" for i in order)
    return f"{'; '.join(places)} (of {rows}x{columns})"
