"""Notes on subjects who are as alike as the images of one subject: often one subject under two names."""

from __future__ import annotations

import numpy as np

from converters.evaluate.metrics.subject_scores import AllPairs, Comparisons

#: Number of pairs of subjects to name.
MOST_PAIRS = 3


def alike_note(comparisons: Comparisons, names: tuple[str, ...]) -> str | None:
    """Name the most alike pairs of subjects if their scores reach the median mated score.

    One such pair is enough to raise the threshold of a claim near the fewest subjects to almost 1.

    Args:
        comparisons: The comparisons; a list of comparisons gives no note.
        names: Subject of each image.

    Returns:
        One line, or None if there is no such pair.
    """
    if not isinstance(comparisons, AllPairs):
        return None
    scores = comparisons.scores()
    if not scores.mated_trials or not scores.tail.size:
        return None
    median = float(np.median(scores.mated))
    if scores.tail[-1] < median:
        return None
    tagged = comparisons.with_subjects(median)
    subjects = sorted(set(names))
    best: dict[tuple[int, int], float] = {}
    for first, second, score in zip(tagged.first, tagged.second, tagged.non_mated, strict=True):
        best.setdefault((min(int(first), int(second)), max(int(first), int(second))), float(score))
        if len(best) > MOST_PAIRS:
            break
    shown = [
        f"{subjects[a]} and {subjects[b]} ({score:.4f})" for (a, b), score in list(best.items())[:MOST_PAIRS]
    ]
    more = ", ..." if len(best) > MOST_PAIRS else ""
    return (
        f"different subjects with a score at or above the median mated score, {median:.4f}: {', '.join(shown)}{more}; look at"
        " their pictures: the network confuses them, or one subject has two names, which raises every threshold"
    )
