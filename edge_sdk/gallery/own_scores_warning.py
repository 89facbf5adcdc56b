"""Warning at the commit after which a gallery's own subjects show that the card's thresholds do not hold."""

from __future__ import annotations

import warnings

from edge_sdk.gallery.format.content import DECISION_POLICY, POLICY_EVIDENCE, Content, ids_of
from edge_sdk.gallery.rules.thresholds import check_content
from edge_sdk.gallery.rules.transfer_words import ADVICE, in_words
from edge_sdk.notices import GalleryWarning


class OwnScoresWarning:
    """Issues the warning once per session, and again if the difference disappeared in between."""

    def __init__(self) -> None:
        self._warned = False

    def after_commit(self, before: Content, after: Content, *, stacklevel: int) -> None:
        """Compare the scores of the subjects if subjects or a policy were added, and warn if thresholds do not hold.

        Args:
            before: The content before the commit.
            after: The committed content.
            stacklevel: See `warnings.warn`; 1 is the caller of this method.
        """
        if after.record(POLICY_EVIDENCE) is None or not _added(before, after):
            return
        check = check_content(after)
        if check.unprotected and not self._warned:
            warnings.warn(f"{in_words(check)}; {ADVICE}", GalleryWarning, stacklevel=stacklevel + 1)
        self._warned = check.unprotected


def _added(before: Content, after: Content) -> bool:
    """Return True if a commit added a subject or changed the policy."""
    changed = any(before.record(kind) != after.record(kind) for kind in (DECISION_POLICY, POLICY_EVIDENCE))
    return changed or not set(ids_of(after.subjects)) <= set(ids_of(before.subjects))
