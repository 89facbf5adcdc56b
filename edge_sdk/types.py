"""Array types of the SDK; each function states the shapes and ranges that it takes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

UInt8Array: TypeAlias = NDArray[np.uint8]
FloatArray: TypeAlias = NDArray[np.float32]
Float64Array: TypeAlias = NDArray[np.float64]
#: Images in uint8, or arrays in the type of an array contract.
SampleArray: TypeAlias = NDArray[Any]
