"""Fit an affine map between the embeddings of two networks, and measure templates that were mapped with it.

The map is fitted on images without labels that both networks embed. Candidates are ridge regression (Hoerl and Kennard
1970) with several strengths and orthogonal Procrustes (Schönemann 1966). The one with the largest separation between own and other
images in a cross-validation over the images is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.evaluate.metrics.bootstrap import draw_multiplicities
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

#: Ridge strengths, relative to the mean variance of the old embeddings.
STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0)
FOLDS = 5
LEAST_IMAGES = 50
LEAST_SUBJECTS = 10
#: Largest number of labelled images: all scores are kept in memory.
MOST_IMAGES = 8000
REPLICATES = 500
# Share of the highest non-mated scores that is kept for the bootstrap, as a multiple of the FMR.
_KEPT = 8

_Fit = tuple[Float64Array, Float64Array]


@dataclass(frozen=True, eq=False)
class LinearMap:
    """A map `rows @ matrix + shift`, whose rows are then normalized.

    Attributes:
        matrix: Shape (D old, D new), float64.
        shift: Shape (D new,), float64.
        method: Name of the method, such as `ridge 0.1`.
        separation: Cross-validated separation: difference of the mean scores of own and other images, in standard
            deviations.
    """

    matrix: Float64Array
    shift: Float64Array
    method: str
    separation: float

    def apply(self, rows: FloatArray) -> FloatArray:
        """Map embeddings, shape (n, D old), to unit embeddings, shape (n, D new)."""
        return _unit(rows @ self.matrix + self.shift).astype(np.float32)


def fit_linear_map(source: FloatArray, target: FloatArray, variants: int) -> LinearMap:
    """Fit the candidates and return the best one.

    Args:
        source: Shape (n * variants, D old): embeddings of the old network. The variants of one image follow one another, the
            image itself first.
        target: Shape (n * variants, D new): embeddings of the new network.
        variants: Number of rows of each image.

    Raises:
        InputError: there are fewer than 50 images.
    """
    images = len(source) // variants
    if images < LEAST_IMAGES:
        raise InputError(
            f"expected {LEAST_IMAGES} calibration images or more, found {images}",
            hint="500 images of 500 people give a usable estimate",
        )
    fold = np.repeat(np.arange(images) % FOLDS, variants)
    first = np.arange(len(source)) % variants == 0
    best: tuple[float, str, Callable[[FloatArray, FloatArray], _Fit]] | None = None
    for name, fit in candidates():
        scores = []
        for held_out in range(FOLDS):
            train, test = fold != held_out, (fold == held_out) & first
            matrix, shift = fit(source[train], target[train])
            scores.append(_separation(_unit(source[test] @ matrix + shift), target[test]))
        mean = float(np.mean(scores))
        if best is None or mean > best[0]:
            best = mean, name, fit
    if best is None:
        raise InputError("expected a method to fit a map, found none")
    matrix, shift = best[2](source, target)
    return LinearMap(matrix, shift, best[1], best[0])


def candidates() -> list[tuple[str, Callable[[FloatArray, FloatArray], _Fit]]]:
    """Return the names of the methods and their functions from embeddings of both networks to matrix and shift."""

    def ridge_of(strength: float) -> Callable[[FloatArray, FloatArray], _Fit]:
        return lambda source, target: _ridge(source, target, strength)

    return [("procrustes", _procrustes), *((f"ridge {s:g}", ridge_of(s)) for s in STRENGTHS)]


def _centred(source: FloatArray, target: FloatArray) -> tuple[Float64Array, ...]:
    old, new = source.astype(np.float64), target.astype(np.float64)
    return old - old.mean(0), new - new.mean(0), old.mean(0), new.mean(0)


def _ridge(source: FloatArray, target: FloatArray, strength: float) -> _Fit:
    old, new, old_mean, new_mean = _centred(source, target)
    gram = old.T @ old
    penalty = strength * np.trace(gram) / len(gram)
    matrix = np.linalg.solve(gram + penalty * np.eye(len(gram)), old.T @ new)
    return matrix, new_mean - old_mean @ matrix


def _procrustes(source: FloatArray, target: FloatArray) -> _Fit:
    old, new, old_mean, new_mean = _centred(source, target)
    left, _, right = np.linalg.svd(old.T @ new, full_matrices=False)
    matrix = left @ right
    return matrix, new_mean - old_mean @ matrix


def _separation(mapped: Float64Array, target: FloatArray) -> float:
    scores = mapped @ target.T
    own, others = np.diag(scores), scores[~np.eye(len(scores), dtype=bool)]
    return float((own.mean() - others.mean()) / np.sqrt((own.var() + others.var()) / 2))


def _unit(rows: Float64Array) -> Float64Array:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@dataclass(frozen=True)
class MapRates:
    """Error rates of mapped templates and of the new network's own templates, with the same probes.

    Attributes:
        native_fnmr, native_threshold: FNMR of own templates, and the lowest threshold whose measured FMR is at most `fmr`.
        mapped_fnmr: FNMR of mapped templates at their own threshold for the same FMR.
        loss_interval: 95 % interval of the difference of both, by resampling subjects.
        fmr_at_native_threshold, fnmr_at_native_threshold: Rates of mapped templates at the native threshold.
        mated, non_mated, subjects: Numbers of comparisons, and of subjects.
    """

    native_fnmr: float
    native_threshold: float
    mapped_fnmr: float
    loss_interval: tuple[float, float]
    fmr_at_native_threshold: float
    fnmr_at_native_threshold: float
    mated: int
    non_mated: int
    subjects: int


@dataclass(frozen=True, eq=False)
class _Scores:
    """Scores of all templates with the probes of other images.

    Attributes:
        mated: Descending order is not required; one score for each ordered pair of images of one subject.
        owner: Subject of each mated score.
        top: The highest non-mated scores, descending.
        first, second: Subjects of each of them.
        non_mated: Number of all non-mated scores.
    """

    mated: FloatArray
    owner: NDArray[np.intp]
    top: FloatArray
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    non_mated: int

    @classmethod
    def of(
        cls, templates: FloatArray, probes: FloatArray, subjects: NDArray[np.intp], *, fmr: float
    ) -> _Scores:
        scores = probes @ templates.T
        same = subjects[:, np.newaxis] == subjects
        rows, columns = np.nonzero(same & ~np.eye(len(subjects), dtype=bool))
        mated, owner = scores[rows, columns], subjects[rows]
        scores[same] = -np.inf
        total = int(len(subjects) ** 2 - np.count_nonzero(same))
        kept = min(total, max(100, int(_KEPT * fmr * total)))
        flat = np.argpartition(scores.ravel(), scores.size - kept)[-kept:]
        flat = flat[np.argsort(-scores.ravel()[flat], kind="stable")]
        return cls(
            mated,
            owner,
            scores.ravel()[flat],
            subjects[flat // len(subjects)],
            subjects[flat % len(subjects)],
            total,
        )

    def threshold(self, fmr: float) -> float:
        """Return the lowest threshold whose measured FMR is at most `fmr`."""
        allowed = int(fmr * self.non_mated)
        return float(np.nextafter(self.top[allowed], np.float32(np.inf), dtype=np.float32))

    def fnmr(self, threshold: float, weights: Float64Array) -> float:
        """Return the mean FNMR over subjects, each with a weight."""
        missed = np.bincount(self.owner, self.mated < threshold, minlength=len(weights))
        counts = np.bincount(self.owner, minlength=len(weights))
        present = counts > 0
        return float(np.average(missed[present] / counts[present], weights=weights[present]))

    def fmr(self, threshold: float) -> float:
        """Return the measured FMR at a threshold."""
        return float(np.count_nonzero(self.top >= threshold) / self.non_mated)

    def resampled_threshold(self, fmr: float, weights: Float64Array, images: Float64Array) -> float:
        """Return the threshold at an FMR for subjects with these weights."""
        total = float((weights * images).sum() ** 2 - ((weights * images) ** 2).sum())
        above = np.cumsum(weights[self.first] * weights[self.second])
        place = min(int(np.searchsorted(above, fmr * total, side="right")), len(self.top) - 1)
        return float(np.nextafter(self.top[place], np.float32(np.inf), dtype=np.float32))


def measure_map(
    native: FloatArray,
    mapped: FloatArray,
    probes: FloatArray,
    subjects: Sequence[str],
    *,
    fmr: float,
    seed: int = 0,
) -> MapRates:
    """Compare every template with the probe of every other image.

    Args:
        native: Shape (n, D new): templates of the new network.
        mapped: Shape (n, D new): mapped templates of the old network, of the same images.
        probes: Shape (n, D new): embeddings of the new network.
        subjects: Subject of each image.
        fmr: FMR of the comparison.
        seed: Seed of the resampling.

    Raises:
        InputError: there are more than 8,000 images, fewer than 10 subjects with two images, or too few non-mated comparisons.
    """
    names, codes = np.unique(np.asarray(subjects), return_inverse=True)
    images = np.bincount(codes).astype(np.float64)
    if len(codes) > MOST_IMAGES:
        raise InputError(
            f"expected at most {MOST_IMAGES} labelled images, found {len(codes)}", hint="use fewer"
        )
    if np.count_nonzero(images > 1) < LEAST_SUBJECTS:
        raise InputError(
            f"expected {LEAST_SUBJECTS} subjects or more with two labelled images, found {np.count_nonzero(images > 1)}"
        )
    own = _Scores.of(native, probes, codes, fmr=fmr)
    other = _Scores.of(mapped, probes, codes, fmr=fmr)
    if own.non_mated * fmr < 3:
        raise InputError(
            f"expected {3 / fmr:.0f} non-mated comparisons or more for FMR {fmr:g}, found {own.non_mated}",
            hint="use more labelled images",
        )
    ones = np.ones(len(names))
    threshold = own.threshold(fmr)
    losses = []
    for weights in draw_multiplicities(len(names), replicates=REPLICATES, seed=seed).T.astype(np.float64):
        if weights[images > 1].any():
            rates = [
                scores.fnmr(scores.resampled_threshold(fmr, weights, images), weights)
                for scores in (own, other)
            ]
            losses.append(rates[1] - rates[0])
    low, high = np.quantile(losses, (0.025, 0.975))
    return MapRates(
        own.fnmr(threshold, ones),
        threshold,
        other.fnmr(other.threshold(fmr), ones),
        (float(low), float(high)),
        other.fmr(threshold),
        other.fnmr(threshold, ones),
        len(own.mated),
        own.non_mated,
        len(names),
    )
