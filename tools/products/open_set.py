"""Open-set error rates on held-out products: verification 1:1 and identification 1:N."""

from __future__ import annotations

import numpy as np

FMRS = (1e-2, 1e-3, 1e-4)


def verification(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float | int]:
    """Compare all pairs of samples and return the error rates (ISO/IEC 19795-1).

    Args:
        embeddings: Shape (N, D), unit rows.
        labels: Shape (N,), product of each row.

    Returns:
        `tar@F` and `threshold@F` for each F in FMRS (the FMR at the threshold is at most F), `eer`, and the numbers of
        `mated` and `non_mated` comparisons.
    """
    above = np.triu_indices(len(labels), 1)
    scores = (embeddings @ embeddings.T)[above]
    same = labels[above[0]] == labels[above[1]]
    mated, non_mated = np.sort(scores[same]), np.sort(scores[~same])
    figures: dict[str, float | int] = {"mated": len(mated), "non_mated": len(non_mated)}
    for fmr in FMRS:
        allowed = int(fmr * len(non_mated))
        # Just above the highest score that must be rejected, so that ties cannot raise FMR above the limit.
        threshold = float(np.nextafter(non_mated[len(non_mated) - allowed - 1], np.float32(2)))
        figures[f"tar@{fmr:g}"] = float(1 - np.searchsorted(mated, threshold) / len(mated))
        figures[f"threshold@{fmr:g}"] = threshold
    # Rates at a threshold just above each non-mated score.
    fnmr = np.searchsorted(mated, non_mated, side="right") / len(mated)
    fmr_at = 1 - np.arange(1, len(non_mated) + 1) / len(non_mated)
    place = int(np.argmin(np.abs(fnmr - fmr_at)))
    figures["eer"] = float((fnmr[place] + fmr_at[place]) / 2)
    return figures


def identification(
    references: np.ndarray, probes: np.ndarray, owners: np.ndarray, *, fpir: float
) -> dict[str, float | int]:
    """Search probes among references and return the open-set error rates.

    Args:
        references: Shape (R, D), one unit row per enrolled product.
        probes: Shape (P, D), unit rows.
        owners: Shape (P,), the row of `references` that each probe belongs to, -1 for a stranger.
        fpir: Share of stranger probes that may be identified.

    Returns:
        `rank1` (closed set), `fnir` at `fpir`, `threshold`, and the counts.
    """
    scores = probes @ references.T
    best, best_row = scores.max(axis=1), scores.argmax(axis=1)
    strangers = np.sort(best[owners < 0])
    known = owners >= 0
    threshold = float(np.nextafter(strangers[len(strangers) - int(fpir * len(strangers)) - 1], np.float32(2)))
    right = best_row[known] == owners[known]
    return {
        "references": len(references),
        "mated_probes": int(known.sum()),
        "non_mated_probes": len(strangers),
        "rank1": float(right.mean()),
        "fpir": fpir,
        "fnir": float(1 - (right & (best[known] >= threshold)).mean()),
        "threshold": threshold,
    }
