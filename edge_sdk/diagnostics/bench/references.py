"""References for the benchmark: a gallery's or random ones. Searching them counts no attempt and writes nothing."""

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
    """References prepared for searching, as in a gallery.

    Args:
        search: Search over the references.
        transform: Maps an embedding of shape (D,), float32, to the space of the references, float64, L2 norm 1.
        count: Number of references.
    """

    def __init__(self, search: Search, transform: Callable[[FloatArray], Float64Array], count: int) -> None:
        self._search = search
        self._transform = transform
        self.count = count

    @classmethod
    def random(cls, count: int, dimension: int) -> BenchReferences:
        """Draw random int8 references, one per subject; raises InputError for a count outside 1..1,000,000."""
        if not 1 <= count <= _MOST:
            raise InputError(f"expected 1..{_MOST} references, found {count}")
        rows = np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)
        matrix, scales = quantize(unit_rows(rows, dimension), TemplateType.INT8)
        search = Search(matrix, scales, np.arange(count, dtype=np.uint32))
        return cls(search, lambda embedding: unit_rows(embedding[np.newaxis], dimension)[0], count)

    @classmethod
    def of(cls, gallery: Gallery) -> BenchReferences:
        """Use the templates of a gallery."""
        matrix, owners = gallery.references()
        lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
        search = Search(matrix, (1.0 / lengths).astype(np.float32), owners)
        return cls(search, gallery.transform_probe, len(matrix))

    def match(self, embedding: FloatArray) -> int | None:
        """Return the most similar subject, even if the score is low; None if there are no references."""
        leaders = self._search.leaders(Probe.of(self._transform(embedding)), floor=-1.0)
        return leaders[0].subject if leaders else None
