"""Check that a card's thresholds hold for a gallery's own subjects, and raise them if they do not; pure.

A threshold that was measured with other people or another camera may have a much greater FMR at this door. The gallery
holds enough templates to notice: its subjects are different people, so their scores with each other are non-mated.
`docs/explanation/decisions-at-the-door.md` has the error rates of the check and of the raised threshold.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from edge_sdk.gallery.rules.own_scores import OwnScores, ScoreMoments
from edge_sdk.model.non_mated_scores import NonMatedScores

#: Fewest subjects whose scores are compared with the card's: 45 pairs.
MIN_SUBJECTS = 10
#: The check reports a difference if chance alone gives one this large with a lower probability.
P_VALUE = 1e-3
#: Fewest subjects from whom the variance ratio of correlated pairs is estimated. Of fewer subjects the estimate is too
#: uncertain, and the ratio is close to 1.
MIN_CORRELATED = 50
# From so many events on, the mean counts as known exactly.
_EXACTLY_KNOWN = 1e6
# More terms of the continued fraction than are needed for counts up to `_EXACTLY_KNOWN`.
_MAX_TERMS = 10_000


class TransferState(str, enum.Enum):
    """Result of the comparison of a gallery's own scores with the card's."""

    NOT_STORED = "not stored"
    TOO_FEW = "too few subjects"
    AS_EXPECTED = "as expected"
    TOO_MANY_MATCHES = "too many matches"


@dataclass(frozen=True)
class TransferCheck:
    """Comparison of the scores of a gallery's own subjects with the scores that its model's card states.

    Attributes:
        state: The result.
        subjects: Number of subjects compared; at most 128 of a larger gallery.
        pairs: Number of pairs of these subjects.
        matches: Pairs that match at `threshold`; a pair of subjects with several templates counts with the share of its
            comparisons that match. 0 if not compared.
        expected: Pairs that match according to the card; 0 if not compared.
        threshold: Threshold of the comparison, a cosine; None if the card's scores are not stored.
        p_value: Probability of at least this many matches if the card's scores hold here; None if not compared.
        adapts: True if the gallery raises its thresholds according to its own scores.
        set_aside: Pairs that were not used to raise thresholds, because they are far more alike than all others.
    """

    state: TransferState
    subjects: int = 0
    pairs: int = 0
    matches: float = 0.0
    expected: float = 0.0
    threshold: float | None = None
    p_value: float | None = None
    adapts: bool = False
    set_aside: int = 0

    @property
    def alarm(self) -> bool:
        """True if the card's thresholds do not hold for these subjects or this camera."""
        return self.state is TransferState.TOO_MANY_MATCHES

    @property
    def unprotected(self) -> bool:
        """True if `alarm` and the gallery does not raise its thresholds."""
        return self.alarm and not self.adapts


def check_transfer(own: OwnScores, card: NonMatedScores, *, adapts: bool = False) -> TransferCheck:
    """Compare the number of matching pairs of a gallery's subjects with the number that the card states.

    The test is one-sided. The matches have a Poisson distribution whose mean is known as exactly as the card's number of
    subjects allows, so that their total has a negative binomial distribution. From 50 subjects on, both numbers are
    divided by the variance ratio of correlated pairs.

    Args:
        own: Scores of the gallery's subjects.
        card: Scores that the card states.
        adapts: True if the gallery raises its thresholds.
    """
    if own.subjects < MIN_SUBJECTS:
        return TransferCheck(
            TransferState.TOO_FEW, own.subjects, own.pairs, threshold=card.threshold, adapts=adapts
        )
    matches, ratio = own.matches(card.threshold)
    if own.subjects < MIN_CORRELATED:
        ratio = 1.0
    expected = card.fmr * own.pairs
    # The variance ratio of S subjects is 1 + 2 (S - 2) r, with the correlation r of two pairs that share a subject.
    correlation = (ratio - 1) / (2 * (own.subjects - 2))
    card_pairs = min(card.comparisons, card.subjects * (card.subjects - 1) / 2)
    card_matches = card.fmr * card_pairs / (1 + 2 * max(0, card.subjects - 2) * correlation)
    p_value = tail_probability(matches / ratio, mean=expected / ratio, mean_from=card_matches)
    return TransferCheck(
        TransferState.TOO_MANY_MATCHES if p_value < P_VALUE else TransferState.AS_EXPECTED,
        own.subjects,
        own.pairs,
        matches,
        expected,
        card.threshold,
        p_value,
        adapts,
        own.moments().set_aside if adapts else 0,
    )


@dataclass(frozen=True)
class Adaptation:
    """Rule that raises the card's thresholds for a gallery whose subjects are more alike than those of the card.

    A threshold that is z standard deviations above the mean of the card's non-mated scores becomes the cosine that is z
    standard deviations above the mean of the gallery's own ones.

    Attributes:
        card: Scores that the card states.
        own: Scores of the gallery's subjects.
    """

    card: NonMatedScores
    own: ScoreMoments

    def raised(self, threshold: float) -> float:
        """Return the threshold for the gallery's own scores: never below the given one, and at most 1."""
        deviations = (threshold - self.card.mean) / self.card.sd
        return min(1.0, max(threshold, self.own.mean + self.own.sd * deviations))


def adaptation_of(own: OwnScores, card: NonMatedScores) -> Adaptation | None:
    """Return the rule that raises thresholds; None if there are too few subjects to know their scores."""
    return Adaptation(card, own.moments()) if own.subjects >= MIN_SUBJECTS else None


def tail_probability(count: float, *, mean: float, mean_from: float = math.inf) -> float:
    """Compute the probability of at least `count` events whose mean was estimated from a number of events.

    Args:
        count: 0 or more; it may be a fraction.
        mean: Expected number of events, above 0.
        mean_from: Number of events from which the mean was estimated, above 0; over 1e6 the mean counts as known
            exactly.

    Returns:
        The tail of the Poisson distribution (DLMF 8.4.10) if the mean is known exactly, otherwise that of the negative
        binomial distribution, a Poisson distribution with a gamma distributed mean (DLMF 8.17.24).
    """
    if count <= 0:
        return 1.0
    if mean_from > _EXACTLY_KNOWN:
        return _lower_gamma(count, mean)
    return _beta_ratio(count, mean_from, mean / (mean + mean_from))


def _lower_gamma(a: float, x: float) -> float:
    """Compute the regularized lower incomplete gamma function P(a, x) from its power series (DLMF 8.7.1)."""
    if x > a + 12 * math.sqrt(a) + 100:
        return 1.0
    term = total = math.exp(a * math.log(x) - x - math.lgamma(a + 1))
    k = a
    while term > total * 1e-16:
        k += 1
        term *= x / k
        total += term
    return min(1.0, total)


def _beta_ratio(a: float, b: float, x: float) -> float:
    """Compute the regularized incomplete beta function I_x(a, b) from its continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_ratio(b, a, 1 - x)
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / a
    # Modified Lentz's method: value is the fraction, c and d are ratios of its successive numerators and denominators.
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1 / (1 + coefficient * d)
            c = 1 + coefficient / c
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return min(1.0, front * value)
