"""Who a probe is, judged against an open gallery's content; pure.

Answers carry a decision and a subject, never a score: 192 scores recover a usable template.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery import sealing
from edge_sdk.gallery.comparison import best_scores, comparable_subjects, unit_rows
from edge_sdk.gallery.content import REVOKED, Content
from edge_sdk.gallery.format import Header, Transform
from edge_sdk.gallery.results import Decision, Identification, References, Verification
from edge_sdk.gallery.transaction import unknown
from edge_sdk.gallery.transform import LABEL, Shp3
from edge_sdk.types import Float64Array


class Recognition:
    """Compares probes with the references of one generation of a gallery.

    Args:
        header: The gallery's header.
        content: Its content.
    """

    def __init__(self, header: Header, content: Content) -> None:
        self._dimension = header.dimension
        self._content = content
        self._index = {name: index for index, name in enumerate(content.names)}
        self.to_template_space = template_space(header, content)

    def identify(self, embedding: NDArray[np.float32], *, threshold: float, now_s: float) -> Identification:
        """Ask who a probe is (1:N).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            threshold: Cosine to reach, -1..1.
            now_s: Moment for validity times, Unix seconds.

        Returns:
            Accepted with the subject; or rejected: nobody reaches the threshold, or two subjects tie.

        Raises:
            InputError: embedding or threshold malformed.
        """
        probe, limit, comparable = self._ask(embedding, threshold, now_s)
        scores = best_scores(self._content, probe, comparable)
        if scores.size == 0:
            return Identification(Decision.REJECTED, None)
        best = int(np.argmax(scores))
        accepted = bool(scores[best] >= limit) and int((scores == scores[best]).sum()) == 1
        if not accepted:
            return Identification(Decision.REJECTED, None)
        return Identification(Decision.ACCEPTED, self._content.names[best])

    def verify(
        self,
        embedding: NDArray[np.float32],
        subject: str,
        *,
        threshold: float,
        now_s: float,
    ) -> Verification:
        """Ask whether a probe is one subject (1:1).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            subject: The name that is claimed.
            threshold: Cosine to reach, -1..1.
            now_s: As `identify`.

        Raises:
            InputError: embedding or threshold malformed.
            SubjectUnknownError: no such subject.
        """
        name = unicodedata.normalize("NFC", subject)
        index = self._index.get(name)
        if index is None:
            raise unknown(name)
        probe, limit, comparable = self._ask(embedding, threshold, now_s)
        claimed = np.zeros_like(comparable)
        claimed[index] = comparable[index]
        accepted = bool(best_scores(self._content, probe, claimed)[index] >= limit)
        return Verification(Decision.ACCEPTED if accepted else Decision.REJECTED, name)

    def references(self) -> References:
        """The stored templates, for a matcher that works on `transform_probe`'s output."""
        return References(self._content.matrix, self._content.templates["subject"])

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Bring a probe to the space of `references`.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Returns:
            Shape (D,), float64, length 1.

        Raises:
            InputError: embedding malformed.
        """
        row = (
            embedding[np.newaxis] if isinstance(embedding, np.ndarray) and embedding.ndim == 1 else embedding
        )
        rows = unit_rows(row, self._dimension)
        if len(rows) != 1:
            raise InputError(f"expected one embedding of shape ({self._dimension},), found {embedding.shape}")
        probe: Float64Array = self.to_template_space(rows)[0]
        return probe

    def _ask(
        self, embedding: NDArray[np.float32], threshold: float, now_s: float
    ) -> tuple[Float64Array, float, NDArray[np.bool_]]:
        if not (math.isfinite(threshold) and -1 <= threshold <= 1):
            raise InputError(f"threshold {threshold} is not a cosine in -1..1")
        comparable = comparable_subjects(self._content, now_s, REVOKED)
        return self.transform_probe(embedding), float(threshold), comparable


def template_space(header: Header, content: Content) -> Callable[[Float64Array], Float64Array]:
    """The map from unit embeddings to the space in which a gallery's templates are stored."""
    if header.transform is Transform.NONE:
        return _unchanged
    key = sealing.hkdf(content.root_secret, salt=header.gallery_id, info=LABEL)
    return Shp3.from_key(key, header.dimension).apply


def _unchanged(rows: Float64Array) -> Float64Array:
    return rows
