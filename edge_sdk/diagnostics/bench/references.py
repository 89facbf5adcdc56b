"""BenchReferences to compare with: a gallery's own rows, or random ones in memory. No try is counted, nothing is written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.gallery import Gallery
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.kernels import Probe
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.types import Float64Array, FloatArray

_MOST = 1_000_000


class BenchReferences:
    """Rows prepared as a gallery prepares them, and the way of a probe to them.

    Args:
        search: The rows.
        transform: From an embedding of shape (D,), float32, to the rows' space, float64, length 1.
        count: How many rows.
    """

    def __init__(self, search: Search, transform: Callable[[FloatArray], Float64Array], count: int) -> None:
        self._search = search
        self._transform = transform
        self.count = count

    @classmethod
    def random(cls, count: int, dimension: int) -> BenchReferences:
        """Directions drawn evenly, int8, one of each subject; raises InputError for a count outside 1..1,000,000."""
        if not 1 <= count <= _MOST:
            raise InputError(f"expected 1..{_MOST} references, found {count}")
        rows = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
        matrix, scales = quantize(unit_rows(rows, dimension), TemplateType.INT8)
        search = Search(matrix, scales, np.arange(count, dtype=np.uint32))
        return cls(search, lambda embedding: unit_rows(embedding[np.newaxis], dimension)[0], count)

    @classmethod
    def of(cls, gallery: Gallery) -> BenchReferences:
        """A gallery's."""
        matrix, owners = gallery.references()
        lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
        search = Search(matrix, (1.0 / lengths).astype(np.float32), owners)
        return cls(search, gallery.transform_probe, len(matrix))

    def match(self, embedding: FloatArray) -> int | None:
        """The best subject, whatever its score; None where there is no reference."""
        leaders = self._search.leaders(Probe.of(self._transform(embedding)), floor=-1.0)
        return leaders[0].subject if leaders else None
