"""Distribution of the scores of different subjects, as measured with the file and stored in its card."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_sdk.errors import ModelCardError
from edge_sdk.model.json_fields import JsonFields, number, text, whole_number


@dataclass(frozen=True)
class NonMatedScores:
    """Mean and spread of the non-mated scores of a data set, and a threshold at which few of them match.

    A gallery compares its own subjects with each other and with these values: other people or another camera give
    other scores, for which the thresholds of the card do not hold.

    Args:
        mean: Mean of the non-mated scores, a cosine.
        sd: Standard deviation of the non-mated scores, above 0.
        threshold: Cosine at which ``fmr`` was measured.
        fmr: Share of the non-mated scores at or above ``threshold``, measured, above 0 and under 1.
        comparisons: Number of non-mated comparisons, 1 or more.
        subjects: Number of subjects, 2 or more.
        data_set: Name of the images.
        data_set_sha256: Digest of these images, hex.

    Raises:
        ModelCardError: A value is outside its range.
    """

    mean: float
    sd: float
    threshold: float
    fmr: float
    comparisons: int
    subjects: int
    data_set: str = ""
    data_set_sha256: str = ""

    def __post_init__(self) -> None:
        cosines = all(math.isfinite(value) and -1 <= value <= 1 for value in (self.mean, self.threshold))
        if not cosines or not 0 < self.sd <= 1 or not 0 < self.fmr < 1:
            raise ModelCardError(
                "non-mated scores: expected mean and threshold in -1..1, sd above 0 and at most 1, and FMR above 0 and"
                f" under 1, found mean {self.mean}, threshold {self.threshold}, sd {self.sd} and FMR {self.fmr}"
            )
        if self.comparisons < 1 or self.subjects < 2:
            raise ModelCardError(
                "non-mated scores: expected 1 or more comparisons of 2 or more subjects, found"
                f" {self.comparisons} of {self.subjects}"
            )

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NonMatedScores:
        """Read the values from a card's JSON.

        Raises:
            ModelCardError: A field is missing, malformed or outside its range.
        """
        scores = JsonFields(value, "non-mated scores")
        return cls(
            mean=scores.read("mean", number),
            sd=scores.read("sd", number),
            threshold=scores.read("threshold", number),
            fmr=scores.read("fmr", number),
            comparisons=scores.read("comparisons", whole_number),
            subjects=scores.read("subjects", whole_number),
            data_set=scores.read("data_set", text, ""),
            data_set_sha256=scores.read("data_set_sha256", text, ""),
        )
