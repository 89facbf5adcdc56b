"""Check of a model's operating points with pictures of the owner's people; pure.

Few people cannot give a threshold: the card's operating points come from a data set with hundreds of subjects. Their
pictures can show if these points suit them: if they are apart, if each is recognized, and if different people are as
unlike at this camera as those of the card.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError
from edge_sdk.gallery.format.content import SUBJECT, TEMPLATE, Content, empty_content
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.templates import quantize, unit_rows
from edge_sdk.gallery.rules.own_scores import MAX_SUBJECTS, OwnScores
from edge_sdk.gallery.rules.transfer import (
    P_VALUE,
    TransferCheck,
    TransferState,
    check_transfer,
    tail_probability,
)
from edge_sdk.matching import unlike_the_others
from edge_sdk.model.card import ModelCard
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.recognizer.enrolment import MOST_TEMPLATES
from edge_sdk.types import Float64Array

#: Most pictures of a person.
MOST_PICTURES = 64
#: Share of a person's probes, or of a pair's comparisons, from which on the result counts as the usual one.
MAJORITY = 0.5
#: Probability with which the stated difference of a camera would have been noticed if pairs were independent. Pairs that
#: share a person are correlated, which leaves about 0.8.
POWER = 0.9
# More subjects show smaller differences than these, but it is not known how much smaller.
_UNDISCOUNTED = 40
#: Strangers are accepted too often if chance alone gives as many with a lower probability.
STRANGERS_P_VALUE = 0.01


@dataclass(frozen=True)
class PairCheck:
    """Comparison of the pictures of two people.

    Attributes:
        first: Name of one person.
        second: Name of the other.
        comparisons: Number of comparisons of a picture of one with a picture of the other.
        matches: Number of those that reach the threshold.
    """

    first: str
    second: str
    comparisons: int
    matches: int

    @property
    def apart(self) -> bool:
        """True if no picture of one would be accepted as the other."""
        return self.matches == 0

    @property
    def as_one_person(self) -> bool:
        """True if most pictures match: twins, or one person under two names."""
        return self.matches >= MAJORITY * self.comparisons


@dataclass(frozen=True)
class PersonCheck:
    """Comparison of the pictures of one person with each other.

    Attributes:
        name: The person.
        templates: Number of pictures that were taken as templates: half of them, at most 5.
        probes: Number of further pictures.
        matches: Number of these that reach the threshold with a template.
        unlike: Indices of pictures that resemble none of the person's others; empty for one picture.
    """

    name: str
    templates: int
    probes: int
    matches: int
    unlike: tuple[int, ...]

    @property
    def recognized(self) -> bool:
        """True if most of the further pictures are recognized, or if there are none."""
        return self.matches >= MAJORITY * self.probes


@dataclass(frozen=True)
class CameraCheck:
    """Comparison of different people at the owner's camera with those of the card.

    Attributes:
        transfer: The comparison; see `check_transfer`.
        stated: Share of pairs that match at the comparison's threshold according to the card; 0 if the card has no scores.
        at_most: Upper limit, with 95 % confidence, of the share of pairs that match at this camera, 0..1.
        noticed: Share of matching pairs that would have been noticed with a probability of about 0.8; None if no share
            would have been, because there are too few people.
    """

    transfer: TransferCheck
    stated: float
    at_most: float
    noticed: float | None


@dataclass(frozen=True)
class StrangersCheck:
    """Search of strangers among the owner's people.

    Attributes:
        people: Number of strangers, each with one probe: the first picture.
        accepted: Names of those who would be accepted as one of the owner's people.
        p_value: Probability of at least as many if the FPIR holds.
    """

    people: int
    accepted: tuple[str, ...]
    p_value: float

    @property
    def too_many(self) -> bool:
        """True if more are accepted than the FPIR explains."""
        return self.p_value < STRANGERS_P_VALUE


@dataclass(frozen=True)
class EvidenceCheck:
    """Result of a check of a model's operating points.

    Attributes:
        threshold: Threshold of the check, a cosine.
        fpir: FPIR for which it was chosen.
        references: Number of templates for which it was chosen.
        claimed: True if the card claims the FMR with a confidence; False for a card of edge-sdk 0.2.
        pairs: All pairs of people.
        people: All people.
        camera: Comparison with the card's scores of different people.
        strangers: Search of the strangers; None without strangers.
    """

    threshold: float
    fpir: float
    references: int
    claimed: bool
    pairs: tuple[PairCheck, ...]
    people: tuple[PersonCheck, ...]
    camera: CameraCheck
    strangers: StrangersCheck | None

    @property
    def fine(self) -> bool:
        """True if no problem was found; small numbers of people and pictures show only large problems."""
        return (
            all(pair.apart for pair in self.pairs)
            and all(person.recognized and not person.unlike for person in self.people)
            and not self.camera.transfer.alarm
            and not (self.strangers is not None and self.strangers.too_many)
        )


def check_evidence(
    people: Mapping[str, NDArray[np.float32]],
    card: ModelCard,
    *,
    fpir: float,
    references: int = 0,
    least_threshold: float = -1.0,
    strangers: Mapping[str, NDArray[np.float32]] | None = None,
) -> EvidenceCheck:
    """Check the operating points of a card with embeddings of the owner's people; no threshold is derived from them.

    Args:
        people: Embeddings of each person's pictures, shape (n, D), float32, n in 1..64.
        card: Card of the model that made the embeddings.
        fpir: FPIR of the gallery's decision policy, above 0 and under 1.
        references: Number of templates in the gallery; the templates of `people` are counted if they are more.
        least_threshold: Threshold of the gallery; the card's is used if it is higher.
        strangers: Embeddings of other people, from the same camera; they count in the comparison with the card.

    Raises:
        InputError: There is nobody, there are over 128 people and strangers, or embeddings are malformed.
        ModelCardError: The card has no operating point for this FPIR and number of templates.
    """
    rows = _checked(people, card.dimension)
    others = _checked(strangers or {}, card.dimension)
    if not rows:
        raise InputError("expected pictures of one person or more, found none")
    if len(rows) + len(others) > MAX_SUBJECTS:
        raise InputError(
            f"expected at most {MAX_SUBJECTS} people and strangers, found {len(rows) + len(others)}",
            hint="measure larger sets with edge-convert evaluate",
        )
    templates = {name: own[: _templates(len(own))] for name, own in rows.items()}
    references = max(references, sum(map(len, templates.values())))
    point = OperatingPoint.for_identification(card.operating_points, fpir=fpir, references=references)
    threshold = max(point.threshold, least_threshold)
    captures = OperatingPoint.for_captures(card.operating_points)
    loose = point.threshold if captures is None else captures.threshold
    return EvidenceCheck(
        threshold,
        fpir,
        references,
        point.fmr_confidence is not None,
        tuple(_pair(a, b, rows, threshold) for a, b in itertools.combinations(rows, 2)),
        tuple(_person(name, own, threshold, loose) for name, own in rows.items()),
        _camera([*rows.values(), *others.values()], card.non_mated_scores),
        _strangers(others, np.concatenate(list(templates.values())), threshold, fpir) if others else None,
    )


def _checked(people: Mapping[str, NDArray[np.float32]], dimension: int) -> dict[str, Float64Array]:
    rows = {}
    for name, embeddings in people.items():
        if len(embeddings) > MOST_PICTURES:
            raise InputError(
                f"{name}: expected at most {MOST_PICTURES} pictures, found {len(embeddings)}",
                hint="leave out pictures that were taken one after the other",
            )
        rows[name] = unit_rows(embeddings, dimension)
        if not len(rows[name]):
            raise InputError(f"{name}: expected 1 picture or more, found none")
    return rows


def _templates(pictures: int) -> int:
    return min(MOST_TEMPLATES, max(1, pictures // 2))


def _pair(first: str, second: str, rows: Mapping[str, Float64Array], threshold: float) -> PairCheck:
    scores = rows[first] @ rows[second].T
    return PairCheck(first, second, scores.size, int(np.count_nonzero(scores >= threshold)))


def _person(name: str, rows: Float64Array, threshold: float, loose: float) -> PersonCheck:
    count = _templates(len(rows))
    scores = rows[count:] @ rows[:count].T
    unlike = unlike_the_others(rows, loose) if len(rows) > 1 else ()
    return PersonCheck(
        name, count, len(scores), int(np.count_nonzero(scores.max(axis=1, initial=-1) >= threshold)), unlike
    )


def _strangers(
    others: Mapping[str, Float64Array], templates: Float64Array, threshold: float, fpir: float
) -> StrangersCheck:
    accepted = tuple(name for name, rows in others.items() if (rows[0] @ templates.T).max() >= threshold)
    # Each stranger is one search, so the number of accepted ones is binomial.
    below = sum(
        math.comb(len(others), k) * fpir**k * (1 - fpir) ** (len(others) - k) for k in range(len(accepted))
    )
    return StrangersCheck(len(others), accepted, max(0.0, 1.0 - below))


def _camera(people: list[Float64Array], card: NonMatedScores | None) -> CameraCheck:
    if card is None:
        return CameraCheck(TransferCheck(TransferState.NOT_STORED, len(people)), 0.0, 1.0, None)
    own = OwnScores(_content(people))
    matches = own.matches(card.threshold)[0]
    # Below the least number of subjects, the numbers are stated and not judged.
    transfer = replace(check_transfer(own, card), matches=matches, expected=card.fmr * own.pairs)
    return CameraCheck(
        transfer, card.fmr, _upper_limit(matches, own.pairs), _noticed(own.pairs, card, transfer.state)
    )


def _content(people: list[Float64Array]) -> Content:
    """Return the content of a gallery of these people, because `OwnScores` compares stored templates."""
    rows = np.concatenate(people)
    matrix, scales = quantize(rows, TemplateType.INT8)
    table = np.zeros(len(rows), TEMPLATE)
    table["subject"] = np.repeat(np.arange(len(people)), [len(own) for own in people])
    table["scale"] = scales
    empty = empty_content(bytes(32), TemplateType.INT8, rows.shape[1])
    return replace(empty, subjects=np.zeros(len(people), SUBJECT), templates=table, matrix=matrix)


def _upper_limit(matches: float, pairs: int) -> float:
    """Return the share of matching pairs that gives so few matches with a probability of 5 % (Garwood 1936).

    Pairs count as independent. A fraction of a match counts as the Poisson distribution continues it.
    """
    if not pairs:
        return 1.0
    return min(1.0, _mean_for(matches + 1, 0.95) / pairs)


def _noticed(pairs: int, card: NonMatedScores, state: TransferState) -> float | None:
    """Return the share of matching pairs that the comparison with the card notices with the probability `POWER`.

    From 50 subjects on, the comparison discounts correlated pairs by an amount that depends on the camera; the result is
    then that of `_UNDISCOUNTED` subjects.
    """
    if state in (TransferState.NOT_STORED, TransferState.TOO_FEW):
        return None
    pairs = min(pairs, math.comb(_UNDISCOUNTED, 2))
    card_pairs = min(card.comparisons, card.subjects * (card.subjects - 1) / 2)
    count = 1
    while tail_probability(count, mean=card.fmr * pairs, mean_from=card.fmr * card_pairs) >= P_VALUE:
        count += 1
    share = _mean_for(count, POWER) / pairs
    return share if share <= 1 else None


def _mean_for(count: float, probability: float) -> float:
    """Return the mean of the Poisson distribution that gives `count` events or more with a probability."""
    low, high = 0.0, count
    while tail_probability(count, mean=high) < probability:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        if middle > 0 and tail_probability(count, mean=middle) >= probability:
            high = middle
        else:
            low = middle
    return high
