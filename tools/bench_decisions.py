"""Measure what each option of a decision is worth, on real images.

    python -m tools.bench_decisions face.cpu_int8.tflite \
        --images lfw_devtest_aligned112.tar --strangers lfw_calibration_aligned112.tar

Thresholds come from all pairs of the `--strangers` set, one image per person and nobody of it in `--images`; what
they do is measured on `--images`: subjects with enough images are enrolled, their other images are probes, and
everybody else is a stranger. Which images are enrolled is drawn anew in each round.

Prints three tables: ways to decide, widths of the retry band, and what the checks at enrolment refuse.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.data.samples import open_samples
from converters.evaluate.metrics import Unsupported, all_pairs, threshold_at_fmr
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.runner.embedding_cache import default_folder
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import open_artefact
from edge_sdk.types import Float64Array, FloatArray

IntArray = np.ndarray
ROUNDS = 40
REPLICATES = 400
FPIR = 0.01


@dataclass(frozen=True)
class Door:
    """One draw: who is enrolled with which images, and who stands before the door.

    Attributes:
        references: Shape (S, k, D), float32, unit norm.
        probes: Shape (P, D); images of the enrolled that were not enrolled.
        owners: Shape (P,), the enrolled subject each probe shows.
        strangers: Shape (Q, D).
        stranger_subjects: Shape (Q,), which stranger it is.
    """

    references: FloatArray
    probes: FloatArray
    owners: IntArray
    strangers: FloatArray
    stranger_subjects: IntArray


def draw(vectors: FloatArray, subjects: IntArray, captures: int, rng: np.random.Generator) -> Door:
    """Enrol every subject that has more than `captures` images."""
    order = rng.permutation(len(vectors))
    place = np.empty(len(vectors), np.int64)  # of an image among its subject's, in the order drawn
    counts: dict[int, int] = {}
    for row in order:
        place[row] = counts.get(int(subjects[row]), 0)
        counts[int(subjects[row])] = int(place[row]) + 1
    enrolled = np.array(sorted(s for s, n in counts.items() if n > captures))
    number = {int(s): i for i, s in enumerate(enrolled)}
    inside = np.isin(subjects, enrolled)
    references = np.empty((len(enrolled), captures, vectors.shape[1]), np.float32)
    for row in np.flatnonzero(inside & (place < captures)):
        references[number[int(subjects[row])], place[row]] = vectors[row]
    probes = inside & (place >= captures)
    owners = np.array([number[int(s)] for s in subjects[probes]])
    return Door(references, vectors[probes], owners, vectors[~inside], subjects[~inside])


def fused(probes: FloatArray, references: FloatArray, how: str) -> Float64Array:
    """Scores of probes with subjects, shape (P, S): max, top2, mean, or centroid of a subject's templates."""
    count, captures, dimension = references.shape
    if how == "centroid":
        centres = references.astype(np.float64).sum(axis=1)
        return np.asarray(probes @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T)
    single = (probes @ references.reshape(-1, dimension).T).reshape(len(probes), count, captures)
    kept = {"max": 1, "top2": min(2, captures), "mean": captures}[how]
    return np.asarray(np.sort(single, axis=2)[:, :, captures - kept :].mean(axis=2), np.float64)


def cohort_limits(references: FloatArray) -> Float64Array:
    """For each subject, the highest score of its templates with those of anybody else enrolled."""
    count, captures, dimension = references.shape
    flat = references.reshape(-1, dimension)
    scores = (flat @ flat.T).reshape(count, captures, count, captures).max(axis=(1, 3))
    np.fill_diagonal(scores, -1)
    return np.asarray(scores.max(axis=1), np.float64)


@dataclass(frozen=True)
class Margins:
    """How far above its rule's threshold every probe is, so that any threshold can be tried afterwards.

    A probe is accepted at threshold t when `score >= t` and it is not `barred`.
    """

    mated: Float64Array
    right: np.ndarray
    strangers: Float64Array

    @classmethod
    def of(cls, door: Door, how: str, *, margin: float = 0.0, subject_limits: bool = False) -> Margins:
        """Apply a rule: its fusion, a margin to the runner-up, thresholds per subject."""
        limits = cohort_limits(door.references) if subject_limits else None
        mated, who = _top(fused(door.probes, door.references, how), margin, limits)
        strangers, _ = _top(fused(door.strangers, door.references, how), margin, limits)
        return cls(mated, who == door.owners, strangers)


def _top(scores: Float64Array, margin: float, limits: Float64Array | None) -> tuple[Float64Array, IntArray]:
    best = scores.argmax(axis=1)
    rows = np.arange(len(scores))
    top = scores[rows, best]
    if scores.shape[1] > 1:
        rest = scores.copy()
        rest[rows, best] = -np.inf
        top = np.where(top - rest.max(axis=1) < margin, -np.inf, top)
    if limits is not None:
        top = np.where(top < limits[best], -np.inf, top)
    return top, best


def bench(
    embedded: EmbeddedSamples, limit: Callable[[int], float], captures: int, rules: Sequence[tuple[str, dict]]
) -> list[str]:
    """One line per rule: at the threshold of the evidence, and at equal measured FPIR."""
    subjects = np.unique(np.asarray(embedded.subjects), return_inverse=True)[1]
    rng = np.random.default_rng(1)
    doors = [draw(embedded.vectors, subjects, captures, rng) for _ in range(ROUNDS)]
    base: list[Margins] = []
    lines = []
    for name, rule in rules:
        found = [Margins.of(door, **rule) for door in doors]
        base = base or found
        at = [limit(door.references.shape[0] * captures) for door in doors]
        fpir = np.mean([(m.strangers >= t).mean() for m, t in zip(found, at, strict=True)])
        fnir = np.mean([1 - (m.right & (m.mated >= t)).mean() for m, t in zip(found, at, strict=True)])
        wrong = np.mean([(~m.right & (m.mated >= t)).mean() for m, t in zip(found, at, strict=True)])
        equal, low, high = _difference(doors, base, found)
        lines.append(
            f"{name:<26}{100 * fpir:>7.2f}{100 * fnir:>8.2f}{100 * wrong:>8.2f}"
            f"{100 * equal:>12.2f}{100 * low:>+9.2f} .. {100 * high:+.2f}"
        )
    first = doors[0]
    head = (
        f"{captures} templates each of {first.references.shape[0]} subjects, {len(first.probes)} probes, "
        f"{len(first.strangers)} images of strangers, {ROUNDS} draws; threshold {at[0]:.4f}"
    )
    columns = f"{'':<26}{'FPIR':>7}{'FNIR':>8}{'wrong':>8}{'FNIR at':>12}{'difference to the first':>24}"
    units = f"{'':<26}{'%':>7}{'%':>8}{'%':>8}{'FPIR 1 %':>12}{'points, 95 %':>24}"
    return [head, columns, units, *lines, ""]


def _difference(
    doors: Sequence[Door], base: Sequence[Margins], other: Sequence[Margins]
) -> tuple[float, float, float]:
    """FNIR at FPIR 1 %, and the interval of its difference to the base; subjects are drawn with replacement."""
    rng = np.random.default_rng(2)
    equal = float(np.mean([_fnir_at_fpir(m) for m in other]))
    differences = []
    for replicate in range(REPLICATES):
        door = doors[replicate % len(doors)]
        owners = _weights(door.owners, rng)
        strangers = _weights(door.stranger_subjects, rng)
        pair = [_fnir_at_fpir(m[replicate % len(doors)], owners, strangers) for m in (base, other)]
        differences.append(pair[1] - pair[0])
    low, high = np.percentile(differences, [2.5, 97.5])
    return equal, float(low), float(high)


def _weights(labels: IntArray, rng: np.random.Generator) -> Float64Array:
    names, codes = np.unique(labels, return_inverse=True)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[codes].astype(np.float64)


def _fnir_at_fpir(
    m: Margins, owners: Float64Array | None = None, strangers: Float64Array | None = None
) -> float:
    owners = np.ones(len(m.mated)) if owners is None else owners
    strangers = np.ones(len(m.strangers)) if strangers is None else strangers
    order = np.argsort(-m.strangers)
    share = np.cumsum(strangers[order]) / strangers.sum()
    first_over = int(np.searchsorted(share, FPIR, side="right"))
    above = m.strangers[order[min(first_over, len(order) - 1)]]
    return float(1 - (owners * (m.right & (m.mated > above))).sum() / owners.sum())


def retry_lines(embedded: EmbeddedSamples, limit: Callable[[int], float], captures: int) -> list[str]:
    """What share of misses and of strangers a band under the threshold holds."""
    subjects = np.unique(np.asarray(embedded.subjects), return_inverse=True)[1]
    rng = np.random.default_rng(1)
    doors = [draw(embedded.vectors, subjects, captures, rng) for _ in range(ROUNDS)]
    found = [Margins.of(door, "max") for door in doors]
    at = [limit(door.references.shape[0] * captures) for door in doors]
    lines = [f"{'retry band':<12}{'of misses %':>14}{'of strangers %':>16}"]
    for band in (0.01, 0.02, 0.05, 0.1, 0.15):
        misses = [
            ((m.mated < t) & (m.mated >= t - band) & m.right).sum() / max(1, ((m.mated < t) | ~m.right).sum())
            for m, t in zip(found, at, strict=True)
        ]
        people = [
            ((m.strangers < t) & (m.strangers >= t - band)).mean() for m, t in zip(found, at, strict=True)
        ]
        lines.append(f"{band:<12}{100 * np.mean(misses):>14.1f}{100 * np.mean(people):>16.2f}")
    return [*lines, ""]


def enrolment_lines(
    embedded: EmbeddedSamples, thresholds: dict[float, float], limit: Callable[[int], float]
) -> list[str]:
    """How often the checks refuse what is right, and catch what is wrong."""
    subjects = np.unique(np.asarray(embedded.subjects), return_inverse=True)[1]
    rng = np.random.default_rng(3)
    lines = [
        f"{'captures':<10}{'FMR':>8}{'consistent set refused %':>26}{'foreign image caught %':>24}{'named right %':>15}"
    ]
    for captures in (2, 3, 5):
        doors = [draw(embedded.vectors, subjects, captures, rng) for _ in range(ROUNDS)]
        for fmr, threshold in thresholds.items():
            refused, caught, named = [], [], []
            for door in doors:
                for own in door.references:
                    refused.append(odd_one(own, threshold) is not None)
                    mixed = own.copy()
                    place = int(rng.integers(captures))
                    mixed[place] = door.strangers[rng.integers(len(door.strangers))]
                    odd = odd_one(mixed, threshold)
                    caught.append(odd is not None)
                    if odd is not None:
                        named.append(odd == place)
            lines.append(
                f"{captures:<10}{fmr:>8g}{100 * np.mean(refused):>26.2f}{100 * np.mean(caught):>24.2f}"
                f"{100 * np.mean(named):>15.1f}"
            )
    lines += ["", f"{'templates':<10}{'limit':>8}{'stranger refused %':>26}{'same person caught %':>24}"]
    for captures in (1, 2, 3):
        doors = [draw(embedded.vectors, subjects, captures, rng) for _ in range(ROUNDS)]
        own, others = [], []
        for door in doors:
            t = limit(len(door.references) * captures)
            scores = fused(door.probes, door.references, "max")
            own.append((scores[np.arange(len(scores)), door.owners] >= t).mean())
            others.append((fused(door.strangers, door.references, "max").max(axis=1) >= t).mean())
        lines.append(f"{captures:<10}{t:>8.4f}{100 * np.mean(others):>26.2f}{100 * np.mean(own):>24.2f}")
    return lines


def odd_one(captures: FloatArray, threshold: float) -> int | None:
    """The capture least like the others, where it does not reach the threshold with any of them."""
    scores = captures @ captures.T
    np.fill_diagonal(scores, -1)
    best = scores.max(axis=1)
    worst = int(scores.sum(axis=1).argmin())
    return worst if best.min() < threshold else None


def main() -> None:
    """Embed, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--strangers", type=Path, required=True)
    asked = parser.parse_args()
    artefact = open_artefact(asked.model)
    embedded, development = (
        embed_with(artefact, open_samples(path), cache=default_folder())
        for path in (asked.images, asked.strangers)
    )
    if set(embedded.subjects) & set(development.subjects):
        parser.error("somebody of --strangers is in --images")
    pairs = all_pairs(development.vectors, development.subjects)

    def threshold(fmr: float) -> float:
        found = threshold_at_fmr(pairs, fmr)
        if isinstance(found, Unsupported):
            parser.error(found.reason)
        return found

    def limit(references: int) -> float:
        return threshold(-np.expm1(np.log1p(-FPIR) / references))

    print(f"{asked.model.name}; thresholds from {pairs.non_mated_trials} non-mated comparisons\n")
    for captures in (1, 2, 3):
        rules: list[tuple[str, dict]] = [("max", {"how": "max"})]
        if captures > 1:
            rules += [(f"fusion: {how}", {"how": how}) for how in ("top2", "mean", "centroid")]
        rules += [(f"margin {m}", {"how": "max", "margin": m}) for m in (0.02, 0.05, 0.1, 0.15)]
        rules += [("threshold per subject", {"how": "max", "subject_limits": True})]
        print("\n".join(bench(embedded, limit, captures, rules)))
    print("\n".join(retry_lines(embedded, limit, 2)))
    print("\n".join(enrolment_lines(embedded, {f: threshold(f) for f in (1e-1, 1e-2, 1e-3)}, limit)))


if __name__ == "__main__":
    main()
