"""Record the recipes of the face kit: statistics of calibration crops, without weights and images.

python -m tools.kit_recipes --crops lfw_calibration_aligned112.tar

The crops are those of 500 people of LFW DevTrain; none of them is in DevTest, on which the kit is measured. The recipes are
written to `converters/kit/recipes`. The same crops and tools give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from converters.errors import ConversionError
from converters.kit.definition import FACE, RECIPES, KitNetwork
from converters.kit.networks import choose_entry, pull_source
from converters.output import replace_file
from converters.pipeline.artefacts import json_bytes
from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Search
from converters.quantize.budget import CosineBudget
from edge_sdk import console
from edge_sdk.kit.manifest import Role

#: Lowest mean cosine of the int8 embedder to the float network at which the search stops.
MIN_COSINE = 0.997


def main(argv: Sequence[str] | None = None) -> int:
    """Record the recipes and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="kit_recipes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=Path, required=True, help="folder or archive of aligned crops")
    parser.add_argument(
        "--output", type=Path, default=RECIPES, help="folder for the recipes (default: the package)"
    )
    arguments = parser.parse_args(argv)
    return console.run("kit_recipes", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    arguments.output.mkdir(parents=True, exist_ok=True)
    for network in FACE.networks:
        if network.recipe is not None:
            recipe = arguments.output / network.recipe.name
            replace_file(recipe, record(network, arguments.crops))
            print(f"written to {recipe}")
    return 0


def record(network: KitNetwork, crops: Path) -> bytes:
    """Convert a network with calibration crops and return the recipe that the conversion saved.

    Raises:
        ConversionError: The network has no recipe, or cannot be converted.
    """
    if network.recipe is None:
        raise ConversionError(f"{network.file}: expected a network with a recipe, found a float network")
    entry = choose_entry(network)
    public = pull_source(entry)
    with TemporaryDirectory(prefix="kit-recipes-") as folder:
        # The recipe states the name of the source, so a mirror folder with other names must not change it.
        source, output = Path(folder) / entry.file, Path(folder) / "converted"
        shutil.copyfile(public, source)
        if network.role is Role.EMBEDDER:
            convert(
                ConversionOptions(
                    model=source,
                    contract=entry.contract,
                    calibration=crops,
                    output=output,
                    name=network.name,
                    quantization=Search(CosineBudget(MIN_COSINE)),
                    version=network.version,
                    description=network.description,
                    licence=entry.licence,
                )
            )
        else:
            convert_auxiliary(
                AuxiliaryRequest(
                    model=source,
                    method=entry.method,
                    output=output,
                    calibration=crops,
                    name=network.name,
                    licence=entry.licence,
                    version=network.version,
                )
            )
        return without_image_names((output / network.recipe.name).read_bytes())


def without_image_names(recipe: bytes) -> bytes:
    """Remove the name of the image with the lowest cosine from a recipe: in LFW it is the name of a person."""
    value = json.loads(recipe)
    fidelity = value["statistics"]["fidelity"]
    if "worst_image" in fidelity:
        fidelity["worst_image"] = ""
    return json_bytes(value)


if __name__ == "__main__":
    sys.exit(main())
