"""Generated inputs: samples that every computer makes alike, for conversions without calibration samples."""

from __future__ import annotations

import numpy as np

from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.golden import golden_input
from edge_sdk.types import SampleArray

#: Number of generated inputs; the seeds are 1, 2 and so on.
GENERATED_INPUTS = 16


def generated_inputs(contract: AnyContract, count: int = GENERATED_INPUTS) -> SampleArray:
    """Generate inputs for a contract, as for golden vectors.

    Returns:
        Shape (n, ...), in the contract's type; the same bytes on every computer.
    """
    return np.stack([golden_input(contract, seed) for seed in range(1, count + 1)])
