"""Open-set identification, 1:N (ISO/IEC 19795-1): FPIR, FNIR, ranks, CMC.

A search compares a probe with every reference. The score of a subject is the highest score of its references.
The subject of a mated probe is enrolled, the subject of a non-mated probe is not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import expm1, log1p

import numpy as np

from converters.evaluate.metrics.cosines import IntArray, check_vectors, on_grid
from converters.evaluate.metrics.curves import allowed_errors, check_rate, trials_needed
from converters.evaluate.metrics.evidence import IdentificationPoint, Unsupported
from converters.evaluate.metrics.scores import first_at_least
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array, FloatArray

NEVER = np.float32(-2.0)
MAX_REFERENCES = 1_000_000


@dataclass(frozen=True, eq=False)
class SearchScores:
    """Results of a set of searches.

    Attributes:
        mated_scores: Shape (M,), float32: score of the probe's own subject; -2 after a failure to acquire the probe
            or to enrol its subject.
        mated_ranks: Shape (M,), int64: rank of the probe's own subject, 1 is best; other subjects with the same score
            rank first; 0 after such a failure.
        non_mated_tops: Shape (N,), float32, ascending: highest score of each non-mated probe.
        references: Number of templates in the gallery.
        subjects: Number of subjects in the gallery.
        failures: Number of mated probes that failed to acquire or whose subject failed to enrol.
    """

    mated_scores: FloatArray
    mated_ranks: IntArray
    non_mated_tops: FloatArray
    references: int
    subjects: int
    failures: int


def fmr_for_fpir(rate: float, *, references: int) -> float:
    """Compute the FMR per comparison that gives an FPIR over N references: 1 - (1 - FPIR)^(1/N).

    The formula holds for independent comparisons; `point_at_fpir` measures the FPIR instead.

    Args:
        rate: FPIR, 0..1.
        references: N >= 1.

    Raises:
        InputError: A value is outside its range.
    """
    if not 0.0 <= rate <= 1.0 or references < 1:
        raise InputError(
            f"expected FPIR in 0..1 and at least 1 reference, found {rate} and {references}",
            hint="for example fmr_for_fpir(1e-2, references=50)",
        )
    return 1.0 if rate == 1.0 else -expm1(log1p(-rate) / references)


def search(
    references: FloatArray,
    reference_subjects: Sequence[str],
    probes: FloatArray,
    probe_subjects: Sequence[str],
    *,
    failed_to_enrol: Collection[str] = (),
    failed_probes: Sequence[str] = (),
    block_rows: int = 256,
) -> SearchScores:
    """Search the gallery for every probe.

    Args:
        references: Shape (G, D), float32, unit norm, G >= 1.
        reference_subjects: G labels.
        probes: Shape (P, D), float32, unit norm.
        probe_subjects: P labels; probes of a subject that is neither enrolled nor in `failed_to_enrol` are
            non-mated.
        failed_to_enrol: Subjects without any reference; their probes count as misses.
        failed_probes: Subjects of probes that failed to acquire; probes of enrolled subjects count as
            misses, the others are ignored, because they raise no alarm.
        block_rows: Probes per block; does not change the results.

    Raises:
        InputError: Vectors or labels are invalid, the gallery is empty, or the dimensions differ.
    """
    gallery, searched = check_vectors(references), check_vectors(probes)
    if len(gallery) == 0 or len(gallery) > MAX_REFERENCES or gallery.shape[1] != searched.shape[1]:
        raise InputError(
            f"expected 1..{MAX_REFERENCES} references of the probes' dimension, "
            f"found {gallery.shape} and {searched.shape}",
            hint="enrol at least one sample, with the same model",
        )
    if len(reference_subjects) != len(gallery) or len(probe_subjects) != len(searched) or block_rows < 1:
        raise InputError(
            f"expected one label per embedding, found {len(reference_subjects)} for {len(gallery)} "
            f"references and {len(probe_subjects)} for {len(searched)} probes",
            hint="keep embeddings and labels in the same order",
        )
    names, codes = np.unique(np.asarray(reference_subjects, dtype=np.str_), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(names.size))
    grid, probe_grid = on_grid(gallery[order]), on_grid(searched)
    number = {str(name): place for place, name in enumerate(names)}
    own = np.array([number.get(subject, -1) for subject in probe_subjects], dtype=np.int64)
    unenrolled = np.array([subject in failed_to_enrol for subject in probe_subjects], dtype=bool) & (own < 0)
    mated_scores, mated_ranks, tops = [], [], []
    for start in range(0, len(searched), block_rows):
        part = slice(start, start + block_rows)
        pairs = (probe_grid[part] @ grid.T).astype(np.float32)
        best = np.maximum.reduceat(pairs, starts, axis=1)
        inside = np.flatnonzero(own[part] >= 0)
        score = best[inside, own[part][inside]]
        mated_scores.append(score)
        mated_ranks.append((best[inside] >= score[:, None]).sum(axis=1))
        tops.append(best[(own[part] < 0) & ~unenrolled[part]].max(axis=1))
    failures = int(unenrolled.sum()) + sum(s in number or s in failed_to_enrol for s in failed_probes)
    return SearchScores(
        np.concatenate([*mated_scores, np.full(failures, NEVER)]).astype(np.float32),
        np.concatenate([*mated_ranks, np.zeros(failures)]).astype(np.int64),
        np.sort(np.concatenate([np.empty(0, np.float32), *tops])),
        len(gallery),
        int(names.size),
        failures,
    )


def fpir_at(scores: SearchScores, thresholds: Float64Array) -> Float64Array:
    """Compute the share of non-mated probes whose highest score is >= each threshold; shape (T,) in and out.

    Raises:
        InputError: There is no non-mated probe.
    """
    tops = scores.non_mated_tops
    if tops.size == 0:
        raise InputError(
            "expected non-mated probes, found none", hint="leave some subjects out of the gallery"
        )
    return (tops.size - first_at_least(tops, np.asarray(thresholds, dtype=np.float64))) / tops.size


def fnir_at(scores: SearchScores, thresholds: Float64Array, *, rank: int = 1) -> Float64Array:
    """Compute the share of mated probes whose subject is not among the first `rank` with score >= each threshold.

    Args:
        scores: Results of `search`; failures count as misses.
        thresholds: Shape (T,).
        rank: Length of the candidate list, >= 1.

    Returns:
        Shape (T,), float64.

    Raises:
        InputError: There is no mated probe, or `rank` is less than 1.
    """
    total = scores.mated_scores.size
    if total == 0 or rank < 1:
        raise InputError(
            f"expected one or more mated probes and a rank of 1 or more, found {total} probes and rank {rank}",
            hint="add probes of enrolled subjects, with samples that are not enrolled",
        )
    listed = (scores.mated_ranks >= 1) & (scores.mated_ranks <= rank)
    own = np.sort(scores.mated_scores[listed])
    hits = own.size - first_at_least(own, np.asarray(thresholds, dtype=np.float64))
    return 1.0 - hits / total


def cumulative_match(scores: SearchScores, *, max_rank: int = 20) -> Float64Array:
    """Compute the CMC: share of mated probes whose subject has rank <= k, for k = 1..max_rank.

    Returns:
        Shape (max_rank,), float64, non-decreasing.

    Raises:
        InputError: There is no mated probe, or `max_rank` is less than 1.
    """
    if scores.mated_ranks.size == 0 or max_rank < 1:
        raise InputError(
            f"expected one or more mated probes and max_rank of 1 or more, found {scores.mated_ranks.size} probes"
            f" and max_rank {max_rank}",
            hint="add probes of enrolled subjects",
        )
    ranks = scores.mated_ranks[(scores.mated_ranks >= 1) & (scores.mated_ranks <= max_rank)]
    counts = np.bincount(ranks, minlength=max_rank + 1)[1:]
    return np.asarray(np.cumsum(counts) / scores.mated_ranks.size, dtype=np.float64)


def point_at_fpir(scores: SearchScores, rate: float, *, rank: int = 1) -> IdentificationPoint | Unsupported:
    """Measure FNIR at the smallest float32 threshold whose measured FPIR is <= rate.

    Args:
        scores: Results of `search`.
        rate: FPIR, above 0 and under 1.
        rank: Length of the candidate list, >= 1.

    Returns:
        The point, or `Unsupported` with fewer than 3 / rate non-mated probes (rule of three).

    Raises:
        InputError: `rate` or `rank` is outside its range.
    """
    tops, needed = scores.non_mated_tops, trials_needed(check_rate(rate, "FPIR"))
    if tops.size < needed:
        reason = f"FPIR {rate:g} needs {needed} non-mated probes (rule of three), found {tops.size}"
        return Unsupported(f"threshold at FPIR {rate:g}", needed, int(tops.size), reason)
    allowed = int(allowed_errors(rate, np.asarray(float(tops.size))))
    threshold = float(np.nextafter(tops[tops.size - 1 - allowed], np.float32(np.inf)))
    place = np.array([threshold])
    return IdentificationPoint(
        target_fpir=rate,
        threshold=threshold,
        fpir=float(fpir_at(scores, place)[0]),
        fnir=float(fnir_at(scores, place, rank=rank)[0]) if scores.mated_scores.size else None,
        rank=rank,
        references=scores.references,
        mated_probes=int(scores.mated_scores.size),
        non_mated_probes=int(tops.size),
    )
