"""Thresholds by which a gallery decides: those of its policy, raised for its own subjects if the policy adapts; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_sdk.errors import ModelCardError
from edge_sdk.gallery.format.content import DECISION_POLICY, POLICY_EVIDENCE, Content
from edge_sdk.gallery.format.records import PolicyEvidence, parse_policy_evidence
from edge_sdk.gallery.rules.in_words import strangers_in_words
from edge_sdk.gallery.rules.own_scores import OwnScores
from edge_sdk.gallery.rules.policy import DecisionPolicy, parse_policy
from edge_sdk.gallery.rules.raised_threshold import RaisedThreshold
from edge_sdk.gallery.rules.transfer import (
    Adaptation,
    TransferCheck,
    TransferState,
    adaptation_of,
    check_transfer,
)
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Thresholds of a decision policy for one content of a gallery.

    Attributes:
        policy: The policy.
        adaptation: The rule that raises its thresholds; None if the policy does not adapt, or if there are too few subjects.
        captures_threshold: Threshold for captures of one enrolment, as stored with the policy; None if it was not
            stored.
    """

    policy: DecisionPolicy
    adaptation: Adaptation | None = None
    captures_threshold: float | None = None

    @classmethod
    def of(cls, content: Content, record: Callable[[int], bytes | None] | None = None) -> Thresholds | None:
        """Return the thresholds for the subjects of a content; None if there is no policy.

        Args:
            content: The content with the subjects.
            record: Returns the bytes of the policy record of a kind; by default that of the content.
        """
        record = record or content.record
        policy, evidence = stored_policy(record), stored_evidence(record)
        if policy is None:
            return None
        adaptation = None
        if policy.adapts and policy.non_mated_scores is not None:
            adaptation = adaptation_of(OwnScores(content), policy.non_mated_scores)
        return cls(policy, adaptation, None if evidence is None else evidence.captures_threshold)

    def limit(self, references: int) -> float:
        """Return the threshold for a search among N templates; see `DecisionPolicy.point` for errors."""
        return self._raised(self.policy.limit(references))

    def consistent_threshold(self) -> float:
        """Return the threshold for captures of one subject; see `DecisionPolicy.consistent_threshold` for errors."""
        stored = self.captures_threshold
        return self._raised(self.policy.consistent_threshold() if stored is None else stored)

    def _raised(self, threshold: float) -> float:
        return threshold if self.adaptation is None else self.adaptation.raised(threshold)


def evidence_of(policy: DecisionPolicy) -> PolicyEvidence:
    """Return what the gallery stores of a policy besides its record: the evidence of the model's card."""
    point = OperatingPoint.for_captures(policy.operating_points)
    return PolicyEvidence(
        captures_threshold=None if point is None else point.threshold,
        scores=policy.non_mated_scores,
        adapts=policy.adapts,
        upper_limits=all(p.fmr_confidence is not None for p in policy.operating_points),
    )


def stored_evidence(record: Callable[[int], bytes | None]) -> PolicyEvidence | None:
    """Return the stored evidence of the policy; None if an earlier version stored the policy.

    Raises:
        GalleryFormatError: the record is malformed.
    """
    value = record(POLICY_EVIDENCE)
    return None if value is None else parse_policy_evidence(value)


def stored_policy(record: Callable[[int], bytes | None]) -> DecisionPolicy | None:
    """Return the stored policy with the card's scores; None if there is none.

    Raises:
        GalleryFormatError: a record is malformed.
    """
    value, evidence = record(DECISION_POLICY), stored_evidence(record)
    if value is None:
        return None
    policy = parse_policy(value)
    if evidence is None:
        return policy
    return replace(policy, non_mated_scores=evidence.scores, adapts=evidence.adapts)


def check_content(content: Content, scores: NonMatedScores | None = None) -> TransferCheck:
    """Compare the scores of a gallery's subjects with those of the card.

    Args:
        content: The gallery's content.
        scores: Scores that the card states; by default those that the gallery has stored.
    """
    evidence = stored_evidence(content.record)
    adapts = evidence is not None and evidence.adapts
    if scores is None and evidence is not None:
        scores = evidence.scores
    if scores is None:
        return TransferCheck(TransferState.NOT_STORED)
    return check_transfer(OwnScores(content), scores, adapts=adapts)


def raised_threshold_of(content: Content) -> RaisedThreshold | None:
    """Return the raised threshold of a search among all templates.

    Returns:
        None if the gallery does not raise the card's threshold, or if the evidence does not cover its templates.
    """
    thresholds = Thresholds.of(content)
    if thresholds is None or thresholds.adaptation is None:
        return None
    try:
        stated = thresholds.policy.limit(len(content.templates))
    except ModelCardError:
        return None
    threshold = thresholds.adaptation.raised(stated)
    if threshold <= stated:
        return None
    compared, matching = OwnScores(content).own_matches(threshold)
    return RaisedThreshold(stated, threshold, compared, matching)


def stored_rate_in_words(content: Content) -> str | None:
    """State how many strangers the stored policy accepts; None without a policy. See `strangers_in_words`."""
    evidence, policy = stored_evidence(content.record), stored_policy(content.record)
    if policy is None:
        return None
    return strangers_in_words(policy.fpir, claimed=evidence is not None and evidence.upper_limits)


def evidence_in_words(content: Content) -> tuple[str, str | None]:
    """Describe how the FMRs of the stored policy are claimed.

    Returns:
        The claim in words; and the commands that renew it, None if that is not necessary.
    """
    evidence, policy = stored_evidence(content.record), stored_policy(content.record)
    claimed = evidence is not None and evidence.upper_limits
    words = (
        "claimed by the upper confidence limit of the FMR"
        if claimed
        else "claimed by the earlier rule: the true FMR may be higher, because edge-sdk 0.2 chose thresholds without"
        " allowance for chance"
    )
    if evidence is not None and evidence.scores is None:
        words += "; without the card's non-mated scores"
    if claimed and evidence is not None and evidence.scores is not None:
        return words, None
    fpir = "RATE" if policy is None else f"{policy.fpir:g}"
    return (
        words,
        f"edge-convert evaluate --write-card, then edge-sdk gallery policy --model FILE --fpir {fpir}",
    )
