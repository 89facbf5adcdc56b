"""How often attacks pass and people do not: APCER and BPCER (ISO/IEC 30107-3).

APCER is of one species of attack instrument (one kind of print, of screen, of mask): an attacker brings the
best, so the greatest is the figure, never a mean over species.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.curves import allowed_errors, check_rate, trials_needed
from converters.evaluate.metrics.evidence import Evidence, Unsupported
from edge_sdk.errors import InputError
from edge_sdk.types import Float64Array

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class SpeciesRate(Evidence):
    """One species of attack instrument.

    Attributes:
        species: Its name, such as ``print``.
        presentations: How many there were.
        passed: How many were taken for a person.
        apcer: Their share.
        apcer_at_most: Where the rate lies under with 95 % confidence (Clopper and Pearson 1934, one-sided).
    """

    species: str
    presentations: int
    passed: int
    apcer: float
    apcer_at_most: float


@dataclass(frozen=True)
class PresentationAttackEvidence(Evidence):
    """What a presentation attack detector is worth at one threshold.

    Attributes:
        threshold: From which score on a presentation counts as bona fide.
        bona_fide_presentations: How many people's presentations there were.
        refused: How many of them were taken for attacks, or gave no score.
        bpcer: Their share.
        bpcer_at_most: Where the rate lies under with 95 % confidence.
        species: Each species, sorted by name.
        apcer: The greatest over the species.
        worst_species: Which has it.
    """

    threshold: float
    bona_fide_presentations: int
    refused: int
    bpcer: float
    bpcer_at_most: float
    species: tuple[SpeciesRate, ...]
    apcer: float
    worst_species: str


def presentation_attack_rates(
    bona_fide: Float64Array, attacks: Mapping[str, Float64Array], *, threshold: float
) -> PresentationAttackEvidence:
    """APCER of each species, the greatest, and BPCER.

    Args:
        bona_fide: Shape (n,): scores of people, higher is more likely a person; NaN where the detector gave
            none, which refuses the person.
        attacks: Scores of attacks by species, each shape (m,); NaN never passes.
        threshold: From where on a presentation counts as bona fide.

    Raises:
        InputError: No presentation of one kind, an infinite score, or a threshold that is no number.
    """
    if not math.isfinite(threshold):
        raise InputError(f"expected a threshold, found {threshold}")
    people = _scores(bona_fide, "bona fide presentations")
    if not attacks:
        raise InputError("expected attacks of one species or more, found none")
    species = []
    for name in sorted(attacks):
        scores = _scores(attacks[name], f"attacks of species {name}")
        passed = int((scores >= threshold).sum())
        species.append(
            SpeciesRate(name, scores.size, passed, passed / scores.size, upper_bound(passed, scores.size))
        )
    refused = int(people.size - (people >= threshold).sum())
    worst = max(species, key=lambda rate: rate.apcer)
    return PresentationAttackEvidence(
        threshold,
        people.size,
        refused,
        refused / people.size,
        upper_bound(refused, people.size),
        tuple(species),
        worst.apcer,
        worst.species,
    )


def threshold_at_apcer(attacks: Mapping[str, Float64Array], apcer: float) -> float | Unsupported:
    """The lowest threshold whose APCER is at most so much for every species.

    Args:
        attacks: As in ``presentation_attack_rates``.
        apcer: Above 0 and under 1.

    Returns:
        The threshold, or `Unsupported` where a species has under 3 / apcer presentations (rule of three).

    Raises:
        InputError: A rate outside its range, or no attacks.
    """
    check_rate(apcer, "APCER")
    if not attacks:
        raise InputError("expected attacks of one species or more, found none")
    needed = trials_needed(apcer)
    thresholds = []
    for name in sorted(attacks):
        scores = _scores(attacks[name], f"attacks of species {name}")
        if scores.size < needed:
            return Unsupported(
                f"APCER {apcer:g}",
                needed,
                scores.size,
                f"APCER {apcer:g} takes {needed} attacks of each species (rule of three), found {scores.size} of {name}",
            )
        ascending = np.sort(np.where(np.isnan(scores), -np.inf, scores))
        allowed = int(allowed_errors(apcer, np.asarray(float(scores.size))))
        thresholds.append(float(np.nextafter(ascending[scores.size - 1 - allowed], np.inf)))
    return max(thresholds)


def upper_bound(errors: int, trials: int) -> float:
    """Where a rate lies under with 95 % confidence: Clopper and Pearson's exact one-sided bound.

    >>> round(upper_bound(0, 300), 4)
    0.0099
    """
    if errors >= trials:
        return 1.0
    low, high = errors / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(errors, trials, middle) > 1 - _CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def _at_most(errors: int, trials: int, rate: float) -> float:
    """Probability of so many errors or fewer at a rate."""
    if rate >= 1:
        return 0.0
    k = np.arange(errors + 1)
    ways = np.array([math.lgamma(trials + 1) - math.lgamma(i + 1) - math.lgamma(trials - i + 1) for i in k])
    return (
        float(np.exp(ways + k * math.log(rate) + (trials - k) * math.log1p(-rate)).sum()) if rate > 0 else 1.0
    )


def _scores(values: Float64Array, what: str) -> Float64Array:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise InputError(f"{what}: expected one score or more, found shape {scores.shape}")
    if np.isinf(scores).any():
        raise InputError(f"{what}: expected finite scores, found infinity")
    return scores
