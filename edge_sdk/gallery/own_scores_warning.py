"""Warning at the commit after which a gallery's own subjects show that its thresholds do not hold."""

from __future__ import annotations

import warnings

from edge_sdk.gallery.format.content import DECISION_POLICY, POLICY_EVIDENCE, Content, ids_of
from edge_sdk.gallery.rules.raised_threshold import TOO_HIGH_ADVICE
from edge_sdk.gallery.rules.thresholds import check_content, raised_threshold_of
from edge_sdk.gallery.rules.transfer_words import ADVICE, in_words, raised_in_words
from edge_sdk.notices import GalleryWarning


def warn_after_commit(before: Content, after: Content, *, stacklevel: int) -> None:
    """Warn if thresholds do not hold after a change of the subjects, and did hold before it.

    A change of the policy warns each time, because its author decides about the thresholds.

    Args:
        before: The content before the commit.
        after: The committed content.
        stacklevel: See `warnings.warn`; 1 is the caller of this function.
    """
    has_new_policy = any(
        before.record(kind) != after.record(kind) for kind in (DECISION_POLICY, POLICY_EVIDENCE)
    )
    if after.record(POLICY_EVIDENCE) is None:
        return
    if not has_new_policy and ids_of(after.subjects) == ids_of(before.subjects):
        return
    problem = threshold_problem(after)
    if problem is None:
        return
    earlier = None if has_new_policy else threshold_problem(before)
    if earlier is None or earlier[1] != problem[1]:
        warnings.warn(GalleryWarning(problem[0], hint=problem[1]), stacklevel=stacklevel + 1)


def threshold_problem(content: Content) -> tuple[str, str] | None:
    """Return what is wrong with the thresholds and what to do; None if the gallery's own subjects show nothing wrong."""
    check = check_content(content)
    if check.unprotected:
        return in_words(check), ADVICE
    raised = raised_threshold_of(content)
    return (raised_in_words(raised), TOO_HIGH_ADVICE) if raised is not None and raised.too_high else None
