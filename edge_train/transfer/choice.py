"""The network before and after tuning, on the same subjects: which to keep, and what the difference is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from converters.evaluate.metrics.curves import equal_error_rate
from converters.evaluate.metrics.difference_evidence import PairedDifference
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.smoothed import pooled_difference
from converters.evaluate.runner.difference_text import pooled_lines
from converters.progress import Progress
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray
from edge_train.data.subjects import Subjects
from edge_train.training.trainer import embed

#: FMRs at which the TARs are compared.
FMRS = (1e-2, 1e-3)
_BATCH = 128


def embed_subjects(
    model: keras.Model, subjects: Subjects, contract: InputContract, *, progress: Progress | None = None
) -> FloatArray:
    """Embed all images of some subjects, a batch at a time.

    Returns:
        Shape (N, D), float32, unit rows in the order of ``subjects.flat``.

    Raises:
        InputError: An image cannot be read.
    """
    parts = []
    for start in range(0, len(subjects.flat), _BATCH):
        group = subjects.flat[start : start + _BATCH]
        pixels = np.stack([np.asarray(subjects.samples.at_size(sample, contract)) for sample in group])
        parts.append(embed(model, pixels, contract))
        if progress is not None:
            progress(start + len(group), len(subjects.flat))
    return np.concatenate(parts)


@dataclass(frozen=True)
class TuningChoice:
    """The network before and after tuning.

    Attributes:
        tuned_is_kept: True if the tuned network has the lower EER on the calibration subjects.
        calibration_eers: EER of both on the calibration subjects, 0..1; None if they support none.
        evaluation_eers: EER of both on the evaluation subjects, 0..1.
        differences: TAR of the tuned network minus that of the start network on the evaluation subjects, one row for each FMR,
            then the smoothed difference over a range of FMR.
        text: The same as lines for a terminal.
    """

    tuned_is_kept: bool
    calibration_eers: tuple[float | None, float | None]
    evaluation_eers: tuple[float | None, float | None]
    differences: tuple[Evidence, ...]
    text: tuple[str, ...]

    @property
    def recommendation(self) -> str:
        """The recommendation with its reason, one sentence."""
        before, after = (_shown(rate) for rate in self.calibration_eers)
        if self.tuned_is_kept:
            return f"use the tuned network: EER {after} on the calibration subjects, {before} before tuning"
        return f"keep the network as it was: EER {before} on the calibration subjects, {after} after tuning"

    def to_json(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {
            "kept": "tuned" if self.tuned_is_kept else "start",
            "recommendation": self.recommendation,
            "calibration_eer": dict(zip(("start", "tuned"), self.calibration_eers, strict=True)),
            "evaluation_eer": dict(zip(("start", "tuned"), self.evaluation_eers, strict=True)),
            "differences": [row.to_json() for row in self.differences],
            "text": [*self.text, self.recommendation],
        }


def choose(
    calibration: tuple[FloatArray, FloatArray],
    calibration_subjects: Subjects,
    evaluation: tuple[FloatArray, FloatArray],
    evaluation_subjects: Subjects,
    *,
    seed: int = 0,
) -> TuningChoice:
    """Choose between a network and its tuned version by the calibration subjects, and compare them on the evaluation subjects.

    The tuned network is kept only if its EER is lower. The evaluation subjects have no part in the choice, so the choice does
    not make their error rates look better than they are.

    Args:
        calibration: Embeddings by the start network and by the tuned network, each of shape (N, D) with unit rows.
        calibration_subjects: Their subjects.
        evaluation, evaluation_subjects: The same for the evaluation subjects.
        seed: Seed of the intervals' resamples.
    """
    chosen = [_samples(vectors, calibration_subjects).all_pairs() for vectors in calibration]
    eers = _eer(chosen[0]), _eer(chosen[1])
    before, after = (_samples(vectors, evaluation_subjects).all_pairs() for vectors in evaluation)
    rows = paired_differences(before, after, fmrs=FMRS, seed=seed)
    pooled = pooled_difference(before, after, seed=seed)
    own = _eer(before), _eer(after)
    text = (
        f"EER on the evaluation subjects: {_shown(own[0])} before tuning, {_shown(own[1])} after",
        *(_difference(row) for row in rows),
        *pooled_lines(pooled, None),
    )
    kept = eers[0] is not None and eers[1] is not None and eers[1] < eers[0]
    return TuningChoice(kept, eers, own, (*rows, pooled), text)


def _samples(vectors: FloatArray, subjects: Subjects) -> EmbeddedSamples:
    names = tuple(sample.name for sample in subjects.flat)
    owners = tuple(sample.subject for sample in subjects.flat)
    return EmbeddedSamples(subjects.samples.data_set, "", names, owners, vectors)


def _eer(comparisons: Any) -> float | None:
    result = equal_error_rate(comparisons.scores())
    return None if isinstance(result, Unsupported) else float(result.rate)


def _difference(row: PairedDifference | Unsupported) -> str:
    if isinstance(row, Unsupported):
        return f"difference of TAR not stated: {row.reason}"
    interval = row.interval
    limits = (
        f"no interval: {interval.reason}"
        if isinstance(interval, Unsupported)
        else f"{100 * interval.confidence:g} % interval {100 * interval.low:+.2f}..{100 * interval.high:+.2f}"
    )
    return (
        f"TAR at FMR {row.target_fmr:g}: {100 * row.baseline_tar:.2f} % before tuning, {100 * row.candidate_tar:.2f} % after,"
        f" {100 * row.difference:+.2f} points, {limits}"
    )


def _shown(rate: float | None) -> str:
    return "not measurable" if rate is None else f"{100 * rate:.2f} %"
