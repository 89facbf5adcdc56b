"""Occlusion maps of several networks for one image; ``edge_sdk.vision.occlusion`` makes each map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.data.embedding import embed_crops
from converters.graph.network import Network
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision import occlusion
from edge_sdk.vision.occlusion import PATCH_PX, STRIDE_PX
from edge_sdk.vision.occlusion import OcclusionMap as OcclusionMap


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
            "maps": [{"network": name, **result.to_json()} for name, result in self.maps],
        }


def make_occlusion_map(
    network: Network,
    contract: InputContract,
    crop: UInt8Array,
    *,
    patch_px: int = PATCH_PX,
    stride_px: int = STRIDE_PX,
) -> OcclusionMap:
    """Make the occlusion map of a network for one image, as ``edge_sdk.vision.occlusion.make_occlusion_map``.

    Args:
        network: A .tflite with one input and one output.
        contract: Its input contract.
        crop: Shape (H, W, C), uint8, at the network's size.
        patch_px: Side of the patch, at least the stride.
        stride_px: Step between positions, at least 1.

    Raises:
        InputError: The crop has another size or type than expected, or the patch or stride is out of range.
    """
    return occlusion.make_occlusion_map(
        lambda crops: embed_crops(network, contract, crops),
        contract,
        crop,
        patch_px=patch_px,
        stride_px=stride_px,
    )


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
