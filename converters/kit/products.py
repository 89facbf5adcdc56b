"""Build the kit of the reference model for products, from the samples of a checkout: nothing is downloaded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import converters
from converters.data.samples import open_samples
from converters.errors import ConversionError
from converters.evaluate.runner.evaluate import Protocol, evaluate
from converters.evaluate.runner.open_artefact import open_artefact
from converters.evaluate.runner.write_card import CARD_FMRS, write_card
from converters.kit.bundling import KitResult, bundle_kit
from converters.kit.contents import KitContents, KitPart
from converters.kit.licences import TEXTS
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from edge_sdk.kit.manifest import Role
from edge_sdk.model.card import InputContract

NAME, VERSION, MODEL = "products", "2", "products.keras"
LICENCE = "Apache-2.0"
_LIMITS = (
    "The network was trained and measured on photographs of invented products that a program drew: its error rates say"
    " nothing about real products.",
)


def samples_folder() -> Path:
    """Return the folder of the sample products in the checkout that this package runs from.

    Raises:
        ConversionError: The package was installed without the samples.
    """
    folder = Path(converters.__file__).resolve().parents[1] / "samples" / "products"
    if not (folder / "model" / MODEL).is_file():
        raise ConversionError(
            f"expected the samples of a checkout in {folder}, found none",
            hint="an installed package has no samples: run the command in a checkout of the project",
        )
    return folder


def build_products(output: str | Path) -> KitResult:
    """Convert and measure the reference model, and write its kit.

    Args:
        output: Folder for ``products.edgekit``.

    Raises:
        ConversionError: The samples are missing, or the output cannot be written.
    """
    return bundle_kit(lambda: _contents(samples_folder()), output)


def _contents(samples: Path) -> KitContents:
    with TemporaryDirectory(prefix="edge-convert-kit-") as work:
        file = _converted(samples, Path(work))
        images = open_samples(samples / "evaluation", name="sample products")
        write_card(file, evaluate(open_artefact(file), images, Protocol(fmrs=CARD_FMRS)))
        part = KitPart(
            file="embedder.tflite",
            role=Role.EMBEDDER,
            data=file.read_bytes(),
            licence=LICENCE,
            source=f"samples/products/model/{MODEL}",
            source_sha256=hashlib.sha256((samples / "model" / MODEL).read_bytes()).hexdigest(),
            made="int8, converted and measured from the samples",
        )
    return KitContents(
        name=NAME,
        version=VERSION,
        parts=(part,),
        texts={f"licence.{TEXTS[LICENCE].name}": TEXTS[LICENCE].read_bytes()},
        limits=_LIMITS,
    )


def _converted(samples: Path, work: Path) -> Path:
    """Convert the reference model into a folder and return the int8 file."""
    model = samples / "model"
    contract = InputContract.from_json(json.loads((model / "products.contract.json").read_bytes()))
    convert(
        ConversionOptions(
            model / MODEL,
            contract,
            samples / "calibration",
            work,
            name=NAME,
            version=VERSION,
            description="The reference model: an embedding of a product photograph",
            licence=LICENCE,
        )
    )
    return work / f"{NAME}.cpu_int8.tflite"
