"""Generated inputs: images that every computer makes alike, for conversions without images."""

from __future__ import annotations

import numpy as np

from edge_sdk.model.card import InputContract
from edge_sdk.model.golden import smooth_field
from edge_sdk.types import UInt8Array

#: Number of generated inputs; the seeds are 1, 2 and so on.
GENERATED_INPUTS = 16


def generated_inputs(contract: InputContract, count: int = GENERATED_INPUTS) -> UInt8Array:
    """Generate inputs of the size of a contract: the smooth fields of golden vectors.

    Returns:
        Shape (n, H, W, C), uint8; the same bytes on every computer.
    """
    return np.stack([smooth_field(contract.shape, seed) for seed in range(1, count + 1)])
