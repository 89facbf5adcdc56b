"""Occlusion maps: change of the embedding if a grey patch covers a part of the image (Zeiler and Fergus 2014).

The patch moves over the crop. The network depends most on the places where the cosine to the unoccluded embedding falls
most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.data.embedding import embed_crops
from converters.graph.network import Network
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array

PATCH_PX = 24
STRIDE_PX = 8
_GREY = 128


@dataclass(frozen=True, eq=False)
class OcclusionMap:
    """Change of the embedding for each position of the patch.

    Args:
        falls: Shape (rows, columns), float32: 1 - cosine to the unoccluded embedding, 0..2.
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


@dataclass(frozen=True, eq=False)
class Attention:
    """One image with the occlusion maps of one or more networks.

    Args:
        image: Name of the image.
        pixels: Shape (H, W, C), uint8, at the network's size; shown in the report.
        maps: (name of the network, its map).
    """

    image: str
    pixels: UInt8Array
    maps: tuple[tuple[str, OcclusionMap], ...]

    def agreement(self) -> float | None:
        """Return the correlation of the first two maps, -1..1; None with fewer maps or if a map is constant."""
        if len(self.maps) < 2:
            return None
        first, second = (m.falls.astype(np.float64).ravel() for _, m in self.maps[:2])
        if first.std() < 1e-12 or second.std() < 1e-12:
            return None
        return float(np.corrcoef(first, second)[0, 1])

    def to_json(self) -> dict[str, Any]:
        """Return the maps as JSON values, without the image."""
        return {
            "image": self.image,
            "agreement": self.agreement(),
            "maps": [{"network": name, **occlusion.to_json()} for name, occlusion in self.maps],
        }


def make_occlusion_map(
    network: Network,
    contract: InputContract,
    crop: UInt8Array,
    *,
    patch_px: int = PATCH_PX,
    stride_px: int = STRIDE_PX,
) -> OcclusionMap:
    """Move a grey patch over a crop and embed the crop for each position.

    Args:
        network: A .tflite with one input and one output.
        contract: Its input contract.
        crop: Shape (H, W, C), uint8, at the network's size.
        patch_px: Side of the patch, at least the stride.
        stride_px: Step between positions, at least 1; 8 needs 196 embeddings for a 112x112 crop.

    Raises:
        InputError: The crop has another size or type than expected, or the patch or stride is out of range.
    """
    if crop.shape != contract.shape or crop.dtype != np.uint8:
        raise InputError(f"expected a crop {contract.shape} uint8, found {crop.shape} {crop.dtype}")
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
        occluded[place, rows, columns] = _GREY
    embeddings = embed_crops(network, contract, occluded)
    falls = 1.0 - embeddings[1:] @ embeddings[0]
    return OcclusionMap(falls.reshape(len(tops), len(lefts)).clip(0.0, 2.0), patch_px, stride_px)


def make_attention(
    networks: tuple[tuple[str, Network], ...], contract: InputContract, crop: UInt8Array, *, image: str
) -> Attention:
    """Make the occlusion maps of several networks for one image.

    Args:
        networks: (name, network).
        contract: The input contract of all networks.
        crop: Shape (H, W, C), uint8, at the network's size.
        image: The image's name.

    Raises:
        InputError: The crop has another size or type than expected.
    """
    maps = tuple((name, make_occlusion_map(network, contract, crop)) for name, network in networks)
    return Attention(image, crop, maps)
