"""Read calibration images, or arrays, and split them by purpose."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from converters.data.drawn import DRAWING, draw_pictures
from converters.data.image_set import Crops, ImageSet, evenly
from converters.errors import CalibrationError
from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.quantization import real_table
from edge_sdk.types import FloatArray, SampleArray

CALIBRATION_IMAGES = 200
HELD_OUT_IMAGES = 100
SELECTION_IMAGES = 60
TRAINING_IMAGES = 2000
SMALLEST_SPLIT = 30
#: Numbers of drawn pictures for activation ranges, to measure fidelity, and for a search.
_DRAWN = (120, 60, 60)


@dataclass(frozen=True)
class CalibrationSet:
    """Calibration images, split by purpose.

    Args:
        ranges: Images for activation ranges.
        held_out: Images for measuring fidelity; those of ``ranges`` if the set is too small to split.
        selection: Images on which a search compares its candidates; those of ``ranges`` if the set is too small.
        split: True if ``ranges``, ``held_out`` and ``selection`` share no image.
        available: Number of images in the set.
        training: Images for distillation, which may include those of ``ranges``; if the set is split, none is in
            ``held_out`` or ``selection``. None if not requested.
        drawn: Name and seed of the generator of drawn pictures; empty for photographs.
    """

    ranges: Crops
    held_out: Crops
    selection: Crops
    split: bool
    available: int
    training: Crops | None = None
    drawn: str = ""

    @property
    def resized(self) -> int:
        """Number of images that had another size than the network's and were cut and resized."""
        read = (self.ranges, self.held_out, self.selection, self.training)
        parts = {id(part): part.resized for part in read if part is not None}
        return sum(parts.values())


def read_calibration(
    path: str,
    contract: AnyContract,
    *,
    training: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationSet:
    """Read calibration images or arrays: up to 200 for activation ranges, 100 to measure fidelity, and 60 for a search.

    Args:
        path: A folder, .tar or .zip of crops or .npy files, as the device will see them.
        contract: Input contract.
        training: Also read up to 2,000 images for distillation; none of them measures fidelity or serves a search.
        progress: Called with (done, total).

    Raises:
        CalibrationError: There is no image, or an image cannot be used.
    """
    try:
        images = ImageSet.open(path, arrays=isinstance(contract, ArrayContract))
        parts = _parts(images.names)
        if training:
            parts.append(_training(images.names))
        total = sum(map(len, parts))
        crops: list[Crops] = []
        for names in parts:
            offset = sum(map(len, crops))

            def report(done: int, _: int, offset: int = offset) -> None:
                if progress is not None:
                    progress(offset + done, total)

            crops.append(images.crops(contract, names=names, progress=report))
    except InputError as error:
        raise CalibrationError(f"calibration images: {error}", hint=error.hint) from error
    remaining = crops.pop() if training else None
    ranges, held_out, selection = crops[0], crops[min(1, len(crops) - 1)], crops[-1]
    if (ranges.pixels == ranges.pixels[:1]).all() and len(ranges) > 1:
        raise CalibrationError(
            f"calibration images: expected different images, found {len(ranges)} copies of one",
            hint="give samples like those the device will see",
        )
    return CalibrationSet(ranges, held_out, selection, len(crops) > 1, len(images), remaining)


def draw_calibration(contract: AnyContract, *, seed: int) -> CalibrationSet:
    """Draw pictures in place of calibration images: 120 for activation ranges, 60 to measure fidelity, and 60 for a search.

    Args:
        contract: Input contract, for size, colour and the place of faces.
        seed: Seed of the pictures, 0 or more; the same seed gives the same pictures.

    Raises:
        CalibrationError: The network reads arrays, which cannot be drawn.
    """
    if not isinstance(contract, InputContract):
        raise CalibrationError(
            "expected calibration arrays, found drawn pictures, for a network that reads arrays",
            hint="give a folder or archive of .npy files: --calibration ARRAYS",
        )
    drawn = f"{DRAWING} seed {seed}"
    parts = []
    for position, count in enumerate(_DRAWN):
        first = sum(_DRAWN[:position])
        pixels = draw_pictures(contract, seed=seed, first=first, count=count)
        names = tuple(f"{drawn} picture {number}" for number in range(first, first + count))
        parts.append(Crops(names, pixels, hashlib.sha256(pixels.tobytes()).hexdigest(), resized=0))
    ranges, held_out, selection = parts
    return CalibrationSet(ranges, held_out, selection, True, sum(_DRAWN), drawn=drawn)


def _parts(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Choose the images for activation ranges, for fidelity and for a search.

    The choice depends on the names only, so that a replayed recipe gives the same bytes.
    """
    if len(names) < SMALLEST_SPLIT:
        return [tuple(names)]
    others = names[1::3]
    return [
        evenly([name for i, name in enumerate(names) if i % 3 != 1], CALIBRATION_IMAGES),
        evenly(others[::2], HELD_OUT_IMAGES),
        evenly(others[1::2], SELECTION_IMAGES),
    ]


def _training(names: Sequence[str]) -> tuple[str, ...]:
    """Choose the images for distillation from those that serve neither fidelity nor a search."""
    if len(names) < SMALLEST_SPLIT:
        return tuple(names)
    return evenly([name for i, name in enumerate(names) if i % 3 != 1], TRAINING_IMAGES)


def real_inputs(pixels: SampleArray, contract: AnyContract) -> FloatArray:
    """Convert samples to inputs of the float network.

    Args:
        pixels: Images: shape (n, H, W, C), uint8; RGB or gray. Arrays: shape (n, ...), in the contract's type.
        contract: The input contract.

    Returns:
        The same shape, float32; images in the network's channel order.
    """
    if isinstance(contract, ArrayContract):
        return pixels.astype(np.float32)
    table = real_table(contract)
    ordered = pixels[..., ::-1] if contract.color == "bgr" else pixels
    return np.stack([table[ordered[..., c], c] for c in range(contract.channels)], axis=-1)
