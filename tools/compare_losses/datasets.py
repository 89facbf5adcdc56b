"""The two data sets as folders ``SUBJECT/IMAGE``: training subjects, and subjects of other alphabets or brands."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from converters.data.image_set import ImageSet
from converters.progress import stage
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract

#: Alphabets of Omniglot (Lake et al. 2015) that are measured: 81 characters. The other alphabets, 161, are trained.
HELD_OUT_ALPHABETS = ("Greek", "Korean", "Tagalog")
_TRAINED_BRANDS, _FIRST_HELD_OUT_BRAND, _HELD_OUT_BRANDS, _FLAVOURS = 64, 900, 40, 2
_TRAINING_PHOTOS, _HELD_OUT_PHOTOS = 16, 8
_SEED = 7


@dataclass(frozen=True)
class DataSet:
    """A data set on disk.

    Args:
        name: Name in the tables.
        training: Folder of the training subjects.
        held_out: Folder of the measured subjects.
        contract: Input contract of the networks.
        augmentation: Name of the augmentation.
    """

    name: str
    training: Path
    held_out: Path
    contract: InputContract
    augmentation: str


def omniglot(source: Path, work: Path) -> DataSet:
    """Copy Omniglot's characters out of their archives.

    Args:
        source: Folder with the published archives ``images_background*.zip``; a character that is in two of them is taken once.
        work: Folder to write to.

    Raises:
        InputError: There is no such archive.
    """
    return _written(
        "omniglot",
        work,
        (
            (f"{'held_out' if held_out(name) else 'training'}/{name}/{file}", content)
            for name, file, content in characters(source)
        ),
        InputContract(28, 28, "gray", (127.5,), (128.0,)),
        "drawings",
    )


def products(work: Path) -> DataSet:
    """Draw photographs of products; the measured ones are of other brands."""
    contract = InputContract(48, 48, "rgb", (127.5,) * 3, (128.0,) * 3)
    return _written("products", work, _photographs(), contract, "products")


def _written(
    name: str, work: Path, images: Iterator[tuple[str, bytes]], contract: InputContract, augmentation: str
) -> DataSet:
    """Write the images of a data set once; a folder that is there is complete."""
    folder = work / name
    if not folder.exists():
        partial = work / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        with stage(f"write {name}"):
            for place, content in images:
                path = partial / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        partial.rename(folder)
    return DataSet(name, folder / "training", folder / "held_out", contract, augmentation)


def characters(source: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield ``ALPHABET.CHARACTER``, file name and content of Omniglot's images; some are in two archives.

    Args:
        source: Folder with the published archives ``images_background*.zip``.

    Raises:
        InputError: There is no such archive.
    """
    archives = sorted(source.glob("images_background*.zip"))
    if not archives:
        raise InputError(f"expected images_background*.zip of Omniglot in {source}, found none")
    for archive in archives:
        images = ImageSet.open(archive)
        for name in images.names:
            alphabet, character, file = PurePosixPath(name).parts[-3:]
            yield f"{alphabet}.{character}", file, images.read(name)


def held_out(character: str) -> bool:
    """Return True if a character ``ALPHABET.CHARACTER`` belongs to a measured alphabet."""
    return character.partition(".")[0] in HELD_OUT_ALPHABETS


def _photographs() -> Iterator[tuple[str, bytes]]:
    from tools.products.catalogue import product
    from tools.products.photos import EVERYDAY, ROUGH, take_photo

    parts = (
        ("training", range(_TRAINED_BRANDS), ROUGH, _TRAINING_PHOTOS),
        (
            "held_out",
            range(_FIRST_HELD_OUT_BRAND, _FIRST_HELD_OUT_BRAND + _HELD_OUT_BRANDS),
            EVERYDAY,
            _HELD_OUT_PHOTOS,
        ),
    )
    for part, brands, care, photos in parts:
        for brand in brands:
            for flavour in range(_FLAVOURS):
                subject = product(_SEED, brand, flavour)
                for number in range(photos):
                    yield f"{part}/{subject.name}/{number}.jpg", take_photo(subject, number, care=care)
