"""Stored crops in the form that another network needs. Pure."""

from __future__ import annotations

import numpy as np

from edge_sdk.errors import GalleryError
from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.model.card import InputContract
from edge_sdk.types import Float64Array, UInt8Array

#: Pixels by which a new crop may reach beyond the stored one; the border pixels there are black.
_MARGIN_PX = 1.0
#: Largest magnification: a crop with more pixels than were stored has no more detail.
_MOST_SCALE = 1.05
_SAME = 1e-3


def recropped(crops: Crops, contract: InputContract) -> list[UInt8Array]:
    """Return the crops that a network with another input contract would have received.

    Crops that are not aligned are returned as they are, because the embedder resizes them.

    Args:
        crops: The stored crops.
        contract: The input contract of the network.

    Raises:
        GalleryError: the network needs more of the face, or more pixels, than was stored; the message states which.
    """
    if crops.pixels.shape[3] != contract.channels:
        raise GalleryError(
            f"the stored captures have {crops.pixels.shape[3]} channels, the new network needs {contract.channels}",
            hint="enrol again",
        )
    if (crops.landmarks is None) != (contract.alignment is None):
        raise GalleryError(
            "the stored captures and the input of the new network are not aligned in the same way: one of them has no"
            " landmarks",
            hint="enrol again",
        )
    if crops.landmarks is None or contract.alignment is None:
        return list(crops.pixels)
    from edge_sdk.vision.alignment import similarity, warp

    matrix = similarity(np.asarray(crops.landmarks), np.asarray(contract.alignment))
    height, width = crops.pixels.shape[1:3]
    same_size = (height, width) == (contract.height, contract.width)
    if same_size and np.allclose(matrix, np.eye(2, 3), atol=_SAME):
        return list(crops.pixels)
    _require_inside(matrix, (height, width), contract)
    return [warp(crop, matrix, contract.height, contract.width) for crop in crops.pixels]


def _require_inside(matrix: Float64Array, stored: tuple[int, int], contract: InputContract) -> None:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale > _MOST_SCALE:
        raise GalleryError(
            f"the new network needs crops with {scale:.2f} times the resolution of the stored captures",
            hint="enrol again",
        )
    corners = np.array(
        [(x, y) for x in (0, contract.width - 1) for y in (0, contract.height - 1)], np.float64
    )
    places = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    limits = np.array([stored[1] - 1, stored[0] - 1])
    beyond = float(max((-places).max(), (places - limits).max()))
    if beyond > _MARGIN_PX:
        raise GalleryError(
            f"the new network needs {beyond:.0f} pixels beyond the edge of the stored captures",
            hint="enrol again",
        )
