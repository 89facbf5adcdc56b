"""The decision policy of a gallery, its bytes, and the decision itself; pure.

A policy is sealed in the gallery, so a caller only needs a probe. The threshold follows from the model card's operating
points and the number of templates searched. `docs/explanation/decisions-at-the-door.md` has measurements of each
option on real faces.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_sdk.errors import GalleryFormatError, InputError, ModelCardError
from edge_sdk.gallery.format.header import ID_BYTES, MAX_TEMPLATES
from edge_sdk.gallery.match.search import Leader
from edge_sdk.gallery.results import Decision, Reason
from edge_sdk.gallery.rules.real_numbers import is_cosine, is_real, shown
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint

MAX_POINTS = 64

_HEAD = struct.Struct("<dddII")
_POINT = struct.Struct("<dddQQ")
_OWN = struct.Struct(f"<{ID_BYTES}sd")


@dataclass(frozen=True)
class DecisionPolicy:
    """Options that determine how a gallery decides.

    Args:
        operating_points: The model card's operating points, 1..64.
        fpir: Largest allowed FPIR, above 0 and below 1: the share of identifications of people who are not enrolled that
            accept a subject.
        margin: Smallest difference between the best subject's score and the next one's, a cosine, 0..1; the decision
            is retry if it is smaller.
        retry_band: Scores up to this far below the threshold give retry instead of rejected, a cosine, 0..1.
        non_mated_scores: `ModelCard.non_mated_scores`, with which the gallery compares the scores of its own subjects;
            None skips the comparison.
        adapts: Raise the thresholds if the gallery's own subjects are more alike than those of the card; never
            lower them. See `docs/explanation/decisions-at-the-door.md`.

    Raises:
        InputError: a value is outside its range, or `adapts` is set without `non_mated_scores`.
    """

    operating_points: tuple[OperatingPoint, ...] = field(repr=False)
    fpir: float
    margin: float = 0.0
    retry_band: float = 0.02
    non_mated_scores: NonMatedScores | None = field(default=None, repr=False)
    adapts: bool = False

    def __post_init__(self) -> None:
        points = self.operating_points
        if isinstance(points, OperatingPoint) or not all(isinstance(p, OperatingPoint) for p in points):
            raise InputError(f"expected operating points, found {type(points).__name__}")
        object.__setattr__(self, "operating_points", tuple(points))
        if not 1 <= len(self.operating_points) <= MAX_POINTS:
            raise InputError(
                f"expected 1..{MAX_POINTS} operating points, found {len(self.operating_points)}",
                hint="edge-convert evaluate --write-card measures them",
            )
        most = max(max(p.mated_trials, p.non_mated_trials) for p in self.operating_points)
        if most >= 1 << 64:
            raise InputError(f"expected operating points of fewer than 2^64 comparisons, found {most}")
        if not is_real(self.fpir) or not 0 < self.fpir < 1:
            raise InputError(
                f"expected FPIR above 0 and under 1, found {shown(self.fpir)}", hint="for example 0.01"
            )
        for name, value in (("margin", self.margin), ("retry_band", self.retry_band)):
            if not is_real(value) or not 0 <= value <= 1:
                raise InputError(f"expected {name} to be a cosine in 0..1, found {shown(value)}")
        if self.adapts and self.non_mated_scores is None:
            raise InputError(
                "adapting thresholds needs the model card's non-mated scores, found none",
                hint="edge-convert evaluate --write-card measures them",
            )

    def point(self, references: int) -> OperatingPoint:
        """Return the operating point whose limit of the FMR keeps the FPIR, 1 - (1 - FMR)^N, for N templates.

        Args:
            references: Number of templates N, 0 or more; 0 is treated as 1.

        Raises:
            ModelCardError: the evidence does not cover that many templates; the message states the FMR needed.
        """
        return OperatingPoint.for_identification(
            self.operating_points, fpir=self.fpir, references=max(1, references)
        )

    def limit(self, references: int) -> float:
        """Return the threshold of `point`, as the card states it."""
        return self.point(references).threshold

    def most_references(self) -> int:
        """Return the largest number of templates that the evidence covers, 0..100,000."""
        least = min(point.fmr_limit for point in self.operating_points)
        if least >= 1:
            return 0
        return min(MAX_TEMPLATES, int(math.log1p(-self.fpir) / math.log1p(-least)))

    def consistent_threshold(self) -> float:
        """Return the threshold for captures of one subject, from the operating point with the largest FMR up to 1e-2.

        Raises:
            ModelCardError: there is no such operating point.
        """
        point = OperatingPoint.for_captures(self.operating_points)
        if point is None:
            raise ModelCardError(
                "checking captures needs an operating point at FMR 0.01 or less, found none",
                hint="edge-convert evaluate --write-card measures one",
            )
        return point.threshold


def pack_policy(policy: DecisionPolicy) -> bytes:
    """Pack a policy as the bytes of its record; the FMR of each point is its limit, by which the policy decides."""
    head = _HEAD.pack(policy.fpir, policy.margin, policy.retry_band, len(policy.operating_points), 0)
    return head + b"".join(
        _POINT.pack(p.threshold, p.fmr_limit, p.fnmr, p.mated_trials, p.non_mated_trials)
        for p in policy.operating_points
    )


def parse_policy(value: bytes) -> DecisionPolicy:
    """Parse a policy record.

    Raises:
        GalleryFormatError: the length does not match the number of operating points, or a value is out of range.
    """
    if len(value) < _HEAD.size:
        raise GalleryFormatError(f"the decision policy is {len(value)} bytes, expected {_HEAD.size} or more")
    fpir, margin, band, count, reserved = _HEAD.unpack(value[: _HEAD.size])
    if reserved or count > MAX_POINTS or len(value) != _HEAD.size + count * _POINT.size:
        raise GalleryFormatError(
            f"expected {_HEAD.size} + {_POINT.size} * n bytes and reserved field 0 for a decision policy of n <= {MAX_POINTS}"
            f" operating points, found {len(value)} bytes, reserved field {reserved} and n = {count}"
        )
    try:
        points = tuple(
            OperatingPoint(threshold, fmr, fnmr, mated_trials=mated, non_mated_trials=non_mated)
            for threshold, fmr, fnmr, mated, non_mated in _POINT.iter_unpack(value[_HEAD.size :])
        )
        return DecisionPolicy(points, fpir=fpir, margin=margin, retry_band=band)
    except (InputError, ModelCardError) as error:
        raise GalleryFormatError(f"the decision policy is malformed: {error}") from error


def pack_own_thresholds(thresholds: Mapping[bytes, float]) -> bytes:
    """Pack thresholds of single subjects, by subject id, as the bytes of their record."""
    return b"".join(_OWN.pack(subject, limit) for subject, limit in sorted(thresholds.items()))


def parse_own_thresholds(value: bytes) -> dict[bytes, float]:
    """Parse the record of subjects' own thresholds.

    Raises:
        GalleryFormatError: the record is incomplete, ids are not in ascending order, or a value is not a cosine.
    """
    if len(value) % _OWN.size:
        raise GalleryFormatError("the record of subjects' thresholds is incomplete")
    entries = list(_OWN.iter_unpack(value))
    if any(a[0] >= b[0] for a, b in itertools.pairwise(entries)):
        raise GalleryFormatError(
            "expected subjects' thresholds in ascending order of id, found another order"
        )
    if not all(is_cosine(limit) for _, limit in entries):
        raise GalleryFormatError("a subject's threshold is not a cosine in -1..1")
    return dict(entries)


class BelowPolicyError(InputError):
    """A caller's threshold is below the policy's.

    Args:
        threshold: The caller's threshold, a cosine.
        limit: The policy's threshold, a cosine.
        hint: What to do about it.

    Attributes:
        threshold: As given.
        least: The policy's threshold with four decimals, rounded up, so that it can be given.
    """

    def __init__(self, threshold: float, limit: float, *, hint: str) -> None:
        self.threshold = threshold
        self.least = f"{math.ceil(limit * 1e4) / 1e4:.4f}"
        super().__init__(
            f"expected a threshold of at least {self.least}, which the gallery's decision policy requires, found"
            f" {threshold:g}",
            hint=hint,
        )


@dataclass(frozen=True)
class Limit:
    """The threshold of one answer.

    Attributes:
        threshold: Cosine that a score must reach.
        policy_threshold: The policy's threshold if `threshold` is below it, which the gallery allows; otherwise None.
            NaN if the policy has no threshold for this many templates.
    """

    threshold: float
    policy_threshold: float | None = None


def decide(
    leaders: Sequence[Leader],
    *,
    limit: float,
    own: Mapping[int, float],
    margin: float = 0.0,
    retry_band: float = 0.0,
) -> tuple[Decision, Reason | None]:
    """Decide on the subjects most similar to a probe.

    Args:
        leaders: Subjects with their scores, best first; includes every subject within `margin` of the best score.
        limit: The threshold.
        own: Subjects' own thresholds by index; used if above `limit`.
        margin: See `DecisionPolicy`.
        retry_band: See `DecisionPolicy`.

    Returns:
        The decision on the best subject and its reason. Equal scores are rejected for any margin, because another
        capture would give equal scores again.
    """
    if not leaders:
        return Decision.REJECTED, None
    best = leaders[0]
    needed = max(limit, own.get(best.subject, -1.0))
    if best.score < needed:
        near = best.score >= needed - retry_band
        return (Decision.RETRY, Reason.CLOSE) if near else (Decision.REJECTED, None)
    if len(leaders) > 1:
        ahead = best.score - leaders[1].score
        if ahead == 0:
            return Decision.REJECTED, None
        if ahead < margin:
            return Decision.RETRY, Reason.AMBIGUOUS
    return Decision.ACCEPTED, None
