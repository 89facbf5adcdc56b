"""What a gallery has been told about deciding: evidence, wishes, and the decision itself; pure.

A policy lies sealed inside the gallery, so a caller brings a probe and nothing else. Its threshold follows from
the model card's operating points and from how many templates are searched. What each option is
worth on real faces is in `docs/explanation/decisions-at-the-door.md`.
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
from edge_sdk.model.operating_point import OperatingPoint

MAX_POINTS = 64

_HEAD = struct.Struct("<dddII")
_POINT = struct.Struct("<dddQQ")
_OWN = struct.Struct(f"<{ID_BYTES}sd")


@dataclass(frozen=True)
class DecisionPolicy:
    """How a gallery decides.

    Args:
        operating_points: Of the model card, 1..64 of them.
        fpir: How often a stranger may be taken for somebody in one try, above 0 and under 1.
        margin: How far the best subject must be ahead of the next, a cosine, 0..1; else the answer is retry.
        retry_band: How far under the threshold the answer is retry and not rejected, a cosine, 0..1.

    Raises:
        InputError: A value is outside its range.
    """

    operating_points: tuple[OperatingPoint, ...] = field(repr=False)
    fpir: float
    margin: float = 0.0
    retry_band: float = 0.02

    def __post_init__(self) -> None:
        object.__setattr__(self, "operating_points", tuple(self.operating_points))
        if not 1 <= len(self.operating_points) <= MAX_POINTS:
            raise InputError(
                f"expected 1..{MAX_POINTS} operating points, found {len(self.operating_points)}",
                hint="edge-convert evaluate --write-card measures them",
            )
        most = max(max(p.mated_trials, p.non_mated_trials) for p in self.operating_points)
        if most >= 1 << 64:
            raise InputError(f"expected operating points of under 2^64 comparisons, found {most}")
        if not 0 < self.fpir < 1:
            raise InputError(f"expected FPIR above 0 and under 1, found {self.fpir}", hint="for example 0.01")
        for name, value in (("margin", self.margin), ("retry_band", self.retry_band)):
            if not 0 <= value <= 1:
                raise InputError(f"expected {name} to be a cosine in 0..1, found {value}")

    def point(self, references: int) -> OperatingPoint:
        """The operating point that keeps the FPIR when so many templates are searched: 1 - (1 - FMR)^N.

        Args:
            references: N, 0 or more; an empty gallery is treated as one of one template.

        Raises:
            ModelCardError: the evidence does not reach that far; says what it would take.
        """
        return OperatingPoint.for_identification(
            self.operating_points, fpir=self.fpir, references=max(1, references)
        )

    def limit(self, references: int) -> float:
        """The threshold of `point`."""
        return self.point(references).threshold

    def most_references(self) -> int:
        """How many templates the evidence reaches to, 0..100,000."""
        least = min(point.fmr for point in self.operating_points)
        if least >= 1:
            return 0
        return min(MAX_TEMPLATES, int(math.log1p(-self.fpir) / math.log1p(-least)))

    def consistent_threshold(self) -> float:
        """What captures of one subject must reach with one another: the point of the greatest FMR up to 1e-2.

        Raises:
            ModelCardError: there is no such point.
        """
        point = OperatingPoint.for_captures(self.operating_points)
        if point is None:
            raise ModelCardError(
                "the check of captures takes an operating point at FMR 0.01 or less, found none",
                hint="edge-convert evaluate --write-card measures one",
            )
        return point.threshold


def pack_policy(policy: DecisionPolicy) -> bytes:
    """A policy as the bytes of its record."""
    head = _HEAD.pack(policy.fpir, policy.margin, policy.retry_band, len(policy.operating_points), 0)
    return head + b"".join(
        _POINT.pack(p.threshold, p.fmr, p.fnmr, p.mated_trials, p.non_mated_trials)
        for p in policy.operating_points
    )


def parse_policy(value: bytes) -> DecisionPolicy:
    """Read a policy record.

    Raises:
        GalleryFormatError: another length than its count says, or a value that no policy may have.
    """
    if len(value) < _HEAD.size:
        raise GalleryFormatError(f"the decision policy is {len(value)} bytes, expected {_HEAD.size} or more")
    fpir, margin, band, count, reserved = _HEAD.unpack(value[: _HEAD.size])
    if reserved or count > MAX_POINTS or len(value) != _HEAD.size + count * _POINT.size:
        raise GalleryFormatError("the decision policy does not have the length that its count says")
    try:
        points = tuple(
            OperatingPoint(threshold, fmr, fnmr, mated_trials=mated, non_mated_trials=non_mated)
            for threshold, fmr, fnmr, mated, non_mated in _POINT.iter_unpack(value[_HEAD.size :])
        )
        return DecisionPolicy(points, fpir=fpir, margin=margin, retry_band=band)
    except (InputError, ModelCardError) as error:
        raise GalleryFormatError(f"the decision policy is malformed: {error}") from error


def pack_own_thresholds(thresholds: Mapping[bytes, float]) -> bytes:
    """Thresholds of single subjects, by subject id, as the bytes of their record."""
    return b"".join(_OWN.pack(subject, limit) for subject, limit in sorted(thresholds.items()))


def parse_own_thresholds(value: bytes) -> dict[bytes, float]:
    """Read the record of subjects' own thresholds.

    Raises:
        GalleryFormatError: cut short, ids that do not rise, or a value that is no cosine.
    """
    if len(value) % _OWN.size:
        raise GalleryFormatError("the record of subjects' thresholds is cut short")
    entries = list(_OWN.iter_unpack(value))
    if any(a[0] >= b[0] for a, b in itertools.pairwise(entries)):
        raise GalleryFormatError("the record of subjects' thresholds is out of order")
    if not all(is_cosine(limit) for _, limit in entries):
        raise GalleryFormatError("a subject's threshold is not a cosine in -1..1")
    return dict(entries)


def is_cosine(value: float) -> bool:
    """Whether a number is finite and in -1..1."""
    return math.isfinite(value) and -1 <= value <= 1


def decide(
    leaders: Sequence[Leader],
    *,
    limit: float,
    own: Mapping[int, float],
    margin: float = 0.0,
    retry_band: float = 0.0,
) -> tuple[Decision, Reason | None]:
    """Judge the subjects most alike to a probe.

    Args:
        leaders: Best first; all that are within `margin` of the best.
        limit: The threshold.
        own: Subjects' own thresholds by index; one counts where it is above `limit`.
        margin: As `DecisionPolicy`.
        retry_band: As `DecisionPolicy`.

    Returns:
        Accepted: the best subject. A tie is rejected, whatever the margin: another capture would tie again.
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
