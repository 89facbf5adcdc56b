"""Occlusion maps: change of a cosine if a grey patch covers a part of the image (Zeiler and Fergus 2014).

The patch moves over the crop. The network depends most on the places where the cosine falls most. Only embeddings are
needed, so the map exists for every network that takes images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.model.input_contract import InputContract
from edge_sdk.types import FloatArray, UInt8Array

PATCH_PX = 24
STRIDE_PX = 8
GREY = 128

#: Embeds crops, shape (n, H, W, C) uint8, as unit rows, shape (n, D) float32.
EmbedCrops = Callable[[UInt8Array], FloatArray]


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """Change of a cosine for each position of the patch.

    Args:
        falls: Shape (rows, columns), float32: decrease of the cosine, -2..2. To the embedding of the whole image itself it
            is 0..2; to another image's it is below 0 at a place that makes the two less alike.
        patch_px: Side of the patch.
        stride_px: Step between positions.
    """

    falls: FloatArray
    patch_px: int
    stride_px: int

    def to_json(self) -> dict[str, Any]:
        """Return the map as JSON values."""
        return {
            "falls": [[round(float(v), 5) for v in row] for row in self.falls],
            "patch_px": self.patch_px,
            "stride_px": self.stride_px,
        }


def make_occlusion_map(
    embed: EmbedCrops,
    contract: InputContract,
    crop: UInt8Array,
    *,
    reference: FloatArray | None = None,
    patch_px: int = PATCH_PX,
    stride_px: int = STRIDE_PX,
) -> OcclusionMap:
    """Move a grey patch over a crop and embed the crop for each position.

    Args:
        embed: Embeds crops with the network.
        contract: The network's input contract.
        crop: Shape (H, W, C), uint8, at the network's size.
        reference: Unit embedding to which the cosine is measured, shape (D,); None for the crop's own.
        patch_px: Side of the patch, at least the stride.
        stride_px: Step between positions, at least 1; 8 needs 196 embeddings for a 112x112 crop.

    Raises:
        InputError: The crop has another size or type than expected, or the patch or stride is out of range.
    """
    check_crop(crop, contract)
    if not 1 <= stride_px <= patch_px <= min(crop.shape[:2]):
        raise InputError(
            f"expected 1 <= stride <= patch <= {min(crop.shape[:2])} px, found stride {stride_px} and patch {patch_px}"
        )
    tops, lefts = (range(0, side, stride_px) for side in crop.shape[:2])
    occluded = np.repeat(crop[None], 1 + len(tops) * len(lefts), axis=0)
    # The patch is centred on each cell and clipped at the border, so that the map covers the image.
    before = (patch_px - stride_px) // 2
    for place, (top, left) in enumerate(((t, c) for t in tops for c in lefts), start=1):
        rows = slice(max(top - before, 0), top - before + patch_px)
        columns = slice(max(left - before, 0), left - before + patch_px)
        occluded[place, rows, columns] = GREY
    embeddings = embed(occluded)
    if reference is None:
        falls = (1.0 - embeddings[1:] @ embeddings[0]).clip(0.0, 2.0)
    else:
        falls = embeddings[0] @ reference - embeddings[1:] @ reference
    return OcclusionMap(falls.reshape(len(tops), len(lefts)).astype(np.float32), patch_px, stride_px)


def check_crop(crop: UInt8Array, contract: InputContract) -> None:
    """Raise InputError unless a crop has the contract's shape and is uint8."""
    if crop.shape != contract.shape or crop.dtype != np.uint8:
        raise InputError(f"expected a crop {contract.shape} uint8, found {crop.shape} {crop.dtype}")
