"""Measure how each decision rule changes the error rates, on real images.

    python -m tools.bench_decisions face.cpu_int8.tflite \
        --images lfw_devtest_aligned112.tar --strangers lfw_calibration_aligned112.tar

Thresholds are the claims of all pairs of the `--strangers` set, which has one image per person and shares no person with
`--images`: the upper 95 % limit of the FMR is 1 - (1 - FPIR)^(1/N). The first rule is also shown at the measured point, the
lowest threshold whose measured FMR is that. Error rates are measured on `--images`: 50 subjects with enough images are enrolled, their other images
are probes, and all other subjects are strangers. Each round draws the enrolled subjects and images again.

Prints three tables: decision rules, widths of the retry band, and rejections by the checks at enrolment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from converters.evaluate.metrics import OperatingPointEvidence, Unsupported, fmr_for_fpir, operating_points
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.types import Float64Array, FloatArray
from tools.two_groups import embed_two_groups, two_groups_parser

IntArray = np.ndarray
#: Returns the threshold of the claim and that of the measured point for a number of templates.
Limits = Callable[[int], tuple[float, float]]
ROUNDS = 40
REPLICATES = 400
FPIR = 0.01
#: Most enrolled subjects of a draw.
SUBJECTS = 50


@dataclass(frozen=True)
class Draw:
    """One random split of the images into references, probes and strangers.

    Attributes:
        references: Shape (S, k, D), float32, unit norm.
        probes: Shape (P, D); the other images of enrolled subjects.
        owners: Shape (P,); index of the enrolled subject of each probe.
        strangers: Shape (Q, D); images of subjects who are not enrolled.
        stranger_subjects: Shape (Q,); the subject of each stranger image.
    """

    references: FloatArray
    probes: FloatArray
    owners: IntArray
    strangers: FloatArray
    stranger_subjects: IntArray


def draw(vectors: FloatArray, subjects: IntArray, captures: int, rng: np.random.Generator) -> Draw:
    """Enrol up to 50 of the subjects that have more than `captures` images; subjects and images are drawn at random."""
    order = rng.permutation(len(vectors))
    # Rank of each image among the images of its subject, in random order.
    place = np.empty(len(vectors), np.int64)
    counts: dict[int, int] = {}
    for row in order:
        place[row] = counts.get(int(subjects[row]), 0)
        counts[int(subjects[row])] = int(place[row]) + 1
    able = sorted(s for s, n in counts.items() if n > captures)
    enrolled = np.sort(rng.choice(able, min(SUBJECTS, len(able)), replace=False))
    number = {int(s): i for i, s in enumerate(enrolled)}
    inside = np.isin(subjects, enrolled)
    references = np.empty((len(enrolled), captures, vectors.shape[1]), np.float32)
    for row in np.flatnonzero(inside & (place < captures)):
        references[number[int(subjects[row])], place[row]] = vectors[row]
    probes = inside & (place >= captures)
    owners = np.array([number[int(s)] for s in subjects[probes]])
    return Draw(references, vectors[probes], owners, vectors[~inside], subjects[~inside])


def draw_rounds(embedded: EmbeddedSamples, captures: int, rng: np.random.Generator) -> list[Draw]:
    """Draw the enrolled images of every round."""
    subjects = np.unique(np.asarray(embedded.subjects), return_inverse=True)[1]
    return [draw(embedded.vectors, subjects, captures, rng) for _ in range(ROUNDS)]


def fused(probes: FloatArray, references: FloatArray, how: str) -> Float64Array:
    """Return the scores of probes with subjects, shape (P, S); `how` is max, top2, mean or centroid of the templates."""
    count, captures, dimension = references.shape
    if how == "centroid":
        centres = references.astype(np.float64).sum(axis=1)
        return np.asarray(probes @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T)
    single = (probes @ references.reshape(-1, dimension).T).reshape(len(probes), count, captures)
    kept = {"max": 1, "top2": min(2, captures), "mean": captures}[how]
    return np.asarray(np.sort(single, axis=2)[:, :, captures - kept :].mean(axis=2), np.float64)


def cohort_limits(references: FloatArray) -> Float64Array:
    """Return for each subject the highest score of its templates with those of any other enrolled subject."""
    count, captures, dimension = references.shape
    flat = references.reshape(-1, dimension)
    scores = (flat @ flat.T).reshape(count, captures, count, captures).max(axis=(1, 3))
    np.fill_diagonal(scores, -1)
    return np.asarray(scores.max(axis=1), np.float64)


@dataclass(frozen=True)
class Margins:
    """Decision scores of all probes under one rule; a probe is accepted at threshold t if its score is at least t.

    Attributes:
        mated: Shape (P,); scores of probes of enrolled subjects, -inf if the rule rejects them.
        right: Shape (P,), bool; True if the best subject is the probe's own.
        strangers: Shape (Q,); scores of strangers, -inf if the rule rejects them.
    """

    mated: Float64Array
    right: np.ndarray
    strangers: Float64Array

    @classmethod
    def of(cls, split: Draw, how: str, *, margin: float = 0.0, subject_limits: bool = False) -> Margins:
        """Apply a rule: score fusion, a margin to the second-best subject, thresholds per subject."""
        limits = cohort_limits(split.references) if subject_limits else None
        mated, best = _top(fused(split.probes, split.references, how), margin, limits)
        strangers, _ = _top(fused(split.strangers, split.references, how), margin, limits)
        return cls(mated, best == split.owners, strangers)


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
    embedded: EmbeddedSamples, limits: Limits, captures: int, rules: Sequence[tuple[str, dict]]
) -> list[str]:
    """Return one line per rule: rates at the threshold from `--strangers`, and FNIR at a measured FPIR of 1 %."""
    draws = draw_rounds(embedded, captures, np.random.default_rng(1))
    at, measured = zip(*(limits(len(split.references) * captures) for split in draws), strict=True)
    base: list[Margins] = []
    lines = []
    for name, rule in rules:
        margins = [Margins.of(split, **rule) for split in draws]
        base = base or margins
        decided = list(zip(margins, at, strict=True))
        fpir = np.mean([(m.strangers >= t).mean() for m, t in decided])
        fnir = np.mean([1 - (m.right & (m.mated >= t)).mean() for m, t in decided])
        wrong = np.mean([(~m.right & (m.mated >= t)).mean() for m, t in decided])
        equal, low, high = _difference(draws, base, margins)
        lines.append(
            f"{name:<26}{100 * fpir:>7.2f}{100 * fnir:>8.2f}{100 * wrong:>8.2f}"
            f"{100 * equal:>12.2f}{100 * low:>+9.2f} .. {100 * high:+.2f}"
        )
    plain = list(zip(base, measured, strict=True))
    fpir = np.mean([(m.strangers >= t).mean() for m, t in plain])
    fnir = np.mean([1 - (m.right & (m.mated >= t)).mean() for m, t in plain])
    over = [
        np.mean([(m.strangers >= t).mean() > FPIR for m, t in zip(base, ts, strict=True)])
        for ts in (at, measured)
    ]
    lines.append(f"{rules[0][0] + ', measured point':<26}{100 * fpir:>7.2f}{100 * fnir:>8.2f}")
    lines.append(
        f"draws with a higher FPIR than {100 * FPIR:g} %: claim {over[0]:.0%}, measured point {over[1]:.0%}"
    )
    first = draws[0]
    head = (
        f"{captures} templates each of {first.references.shape[0]} subjects, {len(first.probes)} probes, "
        f"{len(first.strangers)} images of strangers, {ROUNDS} draws; threshold {at[0]:.4f},"
        f" measured point {measured[0]:.4f}"
    )
    columns = f"{'':<26}{'FPIR':>7}{'FNIR':>8}{'wrong':>8}{'FNIR at':>12}{'difference to the first':>24}"
    units = f"{'':<26}{'%':>7}{'%':>8}{'%':>8}{'FPIR 1 %':>12}{'points, 95 %':>24}"
    return [head, columns, units, *lines, ""]


def _difference(
    draws: Sequence[Draw], base: Sequence[Margins], other: Sequence[Margins]
) -> tuple[float, float, float]:
    """Return FNIR at FPIR 1 % and the subject-bootstrap interval of its difference to the base rule."""
    rng = np.random.default_rng(2)
    equal = float(np.mean([_fnir_at_fpir(m) for m in other]))
    differences = []
    for replicate in range(REPLICATES):
        split = draws[replicate % len(draws)]
        owners = _weights(split.owners, rng)
        strangers = _weights(split.stranger_subjects, rng)
        pair = [_fnir_at_fpir(m[replicate % len(draws)], owners, strangers) for m in (base, other)]
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


def retry_lines(embedded: EmbeddedSamples, limits: Limits, captures: int) -> list[str]:
    """Return lines with the share of misses and of strangers in a band below the threshold."""
    draws = draw_rounds(embedded, captures, np.random.default_rng(1))
    decided = [(Margins.of(split, "max"), limits(len(split.references) * captures)[0]) for split in draws]
    lines = [f"{'retry band':<12}{'of misses %':>14}{'of strangers %':>16}"]
    for band in (0.01, 0.02, 0.05, 0.1, 0.15):
        misses = [
            ((m.mated < t) & (m.mated >= t - band) & m.right).sum() / max(1, ((m.mated < t) | ~m.right).sum())
            for m, t in decided
        ]
        people = [((m.strangers < t) & (m.strangers >= t - band)).mean() for m, t in decided]
        lines.append(f"{band:<12}{100 * np.mean(misses):>14.1f}{100 * np.mean(people):>16.2f}")
    return [*lines, ""]


def enrolment_lines(embedded: EmbeddedSamples, thresholds: dict[float, float], limits: Limits) -> list[str]:
    """Return lines with the rates at which the enrolment checks reject correct sets and detect wrong sets."""
    rng = np.random.default_rng(3)
    lines = [
        f"{'captures':<10}{'FMR':>8}{'consistent set refused %':>26}{'stranger image caught %':>24}{'named right %':>15}"
    ]
    for captures in (2, 3, 5):
        draws = draw_rounds(embedded, captures, rng)
        for fmr, threshold in thresholds.items():
            refused, caught, named = [], [], []
            for split in draws:
                for own in split.references:
                    refused.append(find_outlier(own, threshold) is not None)
                    mixed = own.copy()
                    place = int(rng.integers(captures))
                    mixed[place] = split.strangers[rng.integers(len(split.strangers))]
                    odd = find_outlier(mixed, threshold)
                    caught.append(odd is not None)
                    if odd is not None:
                        named.append(odd == place)
            lines.append(
                f"{captures:<10}{fmr:>8g}{100 * np.mean(refused):>26.2f}{100 * np.mean(caught):>24.2f}"
                f"{100 * np.mean(named):>15.1f}"
            )
    lines += ["", f"{'templates':<10}{'limit':>8}{'stranger refused %':>26}{'same person caught %':>24}"]
    for captures in (1, 2, 3):
        own, others = [], []
        for split in draw_rounds(embedded, captures, rng):
            t, _ = limits(len(split.references) * captures)
            scores = fused(split.probes, split.references, "max")
            own.append((scores[np.arange(len(scores)), split.owners] >= t).mean())
            others.append((fused(split.strangers, split.references, "max").max(axis=1) >= t).mean())
        lines.append(f"{captures:<10}{t:>8.4f}{100 * np.mean(others):>26.2f}{100 * np.mean(own):>24.2f}")
    return lines


def find_outlier(captures: FloatArray, threshold: float) -> int | None:
    """Return the capture least similar to the others if one capture stays below the threshold with all others."""
    scores = captures @ captures.T
    np.fill_diagonal(scores, -1)
    best = scores.max(axis=1)
    worst = int(scores.sum(axis=1).argmin())
    return worst if best.min() < threshold else None


def main() -> None:
    """Embed the images, measure the rules and print the tables."""
    parser = two_groups_parser(__doc__)
    options = parser.parse_args()
    embedded, development = embed_two_groups(options)
    if set(embedded.subjects) & set(development.subjects):
        parser.error("--strangers and --images have common subjects, expected none")
    comparisons = development.all_pairs()
    scores = comparisons.scores()

    @cache
    def thresholds(fmr: float) -> tuple[float, float]:
        names = {"data_set": development.data_set, "data_digest": development.data_digest}
        (row,) = operating_points(comparisons, scores, fmrs=[fmr], replicates=0, **names)
        if not isinstance(row, OperatingPointEvidence):
            parser.error(row.reason)
        if isinstance(row.claim, Unsupported):
            parser.error(row.claim.reason)
        return row.threshold, row.measured.threshold

    def limits(references: int) -> tuple[float, float]:
        return thresholds(fmr_for_fpir(FPIR, references=references))

    print(f"{options.model.name}; thresholds from {scores.non_mated_trials} non-mated comparisons\n")
    for captures in (1, 2, 3):
        rules: list[tuple[str, dict]] = [("max", {"how": "max"})]
        if captures > 1:
            rules += [(f"fusion: {how}", {"how": how}) for how in ("top2", "mean", "centroid")]
        rules += [(f"margin {m}", {"how": "max", "margin": m}) for m in (0.02, 0.05, 0.1, 0.15)]
        rules += [("threshold per subject", {"how": "max", "subject_limits": True})]
        print("\n".join(bench(embedded, limits, captures, rules)))
    print("\n".join(retry_lines(embedded, limits, 2)))
    print("\n".join(enrolment_lines(embedded, {f: thresholds(f)[0] for f in (1e-1, 1e-2, 1e-3)}, limits)))


if __name__ == "__main__":
    main()
