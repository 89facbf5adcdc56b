"""Text of the conversion of scores to probabilities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from converters.evaluate.metrics import AllPairs, measure_probability
from converters.evaluate.metrics.probability_evidence import ProbabilityEvidence
from converters.evaluate.runner.probability_text import example_at_priors, probability_lines


@pytest.fixture(scope="module")
def evidence() -> ProbabilityEvidence:
    rng = np.random.default_rng(5)
    subjects = np.repeat(np.arange(20), 3)
    vectors = rng.normal(size=(20, 16))[subjects] + 0.6 * rng.normal(size=(60, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = AllPairs(vectors.astype(np.float32), [f"s{subject:02d}" for subject in subjects])
    measured = measure_probability(pairs, data_set="drawn", data_digest="ef" * 32)
    assert isinstance(measured, ProbabilityEvidence)
    return measured


def at_prior(evidence: ProbabilityEvidence, prior: float, slope: float, intercept: float) -> str:
    platt = replace(evidence.platt, prior=prior, slope=slope, intercept=intercept)
    return "\n".join(probability_lines(replace(evidence, platt=platt)))


def test_a_probability_near_one_is_not_rounded_to_one(evidence: ProbabilityEvidence) -> None:
    # 0.9 at prior 0.01 is odds of 9 * 99 to 1 at prior 0.5: 891 / 892.
    text = at_prior(evidence, 0.01, 20.0, -5.0)
    assert "means 0.9989 at prior 0.5, 0.99 at prior 0.1, 0.9 at prior 0.01" in " ".join(text.split())


def test_a_missing_example_has_a_reason(evidence: ProbabilityEvidence) -> None:
    text = at_prior(evidence, 1e-4, 5.0, -9.0)
    assert "no example at other priors: no score in -1..1 has probability 0.9 at prior 0.0001" in text
    text = at_prior(evidence, 0.5, -2.0, 0.0)
    assert "no example at other priors: a higher score gives no higher probability" in text
    assert example_at_priors(evidence) is not None
