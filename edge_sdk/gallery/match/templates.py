"""Conversion of embeddings to unit vectors, and of unit vectors to stored templates. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.types import Float64Array, FloatArray


def unit_rows(embeddings: NDArray[Any], dimension: int) -> Float64Array:
    """Check embeddings and normalize them to length 1.

    Args:
        embeddings: Shape (n, D), float32, finite, without zero vectors.
        dimension: D, 1..65535.

    Returns:
        Shape (n, D), float64.

    Raises:
        InputError: the shape or dtype is wrong, a number is not finite, or a vector is zero.
    """
    if isinstance(embeddings, np.ma.MaskedArray):
        raise InputError("expected an embedding without masked numbers, found a masked array")
    if not isinstance(embeddings, np.ndarray) or embeddings.dtype != np.float32:
        dtype = getattr(embeddings, "dtype", type(embeddings).__name__)
        raise InputError(f"expected an embedding of float32, found {dtype}")
    if embeddings.ndim != 2 or embeddings.shape[1] != dimension:
        raise InputError(f"expected embeddings of dimension {dimension}, found shape {embeddings.shape}")
    if not np.isfinite(embeddings).all():
        raise InputError("expected an embedding of finite numbers, found NaN or infinity")
    rows = embeddings.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if (norms == 0).any():
        raise InputError("expected an embedding other than zero, found only zeros")
    return np.asarray(rows / norms)


def quantize(rows: Float64Array, template_type: TemplateType) -> tuple[NDArray[Any], FloatArray]:
    """Quantize unit vectors to stored templates.

    Args:
        rows: Shape (n, D), float64, length 1, transformed.
        template_type: Number format of the templates.

    Returns:
        Rows, shape (n, D), int8 in -127..127 or float16; and scales, shape (n,), float32: the reciprocal lengths
        of the stored rows, so row * scale has length 1.
    """
    if template_type is TemplateType.INT8:
        peaks = np.abs(rows).max(axis=1, keepdims=True)
        stored: NDArray[Any] = np.rint(rows * (127.0 / peaks)).astype(np.int8)
    else:
        stored = rows.astype(np.float16)
    return stored, (1.0 / np.linalg.norm(stored.astype(np.float64), axis=1)).astype(np.float32)
