"""Error-versus-discard: a good quality measure lowers FNMR, a random one stays within chance."""

import numpy as np
import pytest

from converters.evaluate.metrics.discard import discard
from edge_sdk.errors import InputError


def samples(seed: int = 0) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """Draw 100 subjects with four samples each; every tenth sample is noisy."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(100, 32))
    noise = np.where(np.arange(400) % 10 == 0, 3.0, 0.3)
    vectors = np.repeat(centres, 4, axis=0) + rng.normal(size=(400, 32)) * noise[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), tuple(f"s{i // 4}" for i in range(400)), noise


def test_discarding_the_noisy_tenth_leaves_no_false_non_match() -> None:
    vectors, subjects, noise = samples()
    before = discard(vectors, subjects, noise, measure="noise", share=0.0, threshold=0.6, draws=10)
    after = discard(vectors, subjects, noise, measure="noise", share=0.1, threshold=0.6, draws=200)
    assert before.mated_trials == 600
    assert before.fnmr > 0.1
    assert after.fnmr == 0.0
    assert after.by_chance[0] > 0.05
    assert before.by_chance == (before.fnmr,) * 3


def test_a_random_measure_stays_within_chance() -> None:
    vectors, subjects, _ = samples()
    blind = np.random.default_rng(5).random(400)
    point = discard(vectors, subjects, blind, measure="blind", share=0.05, threshold=0.6)
    assert point.by_chance[0] * 0.9 <= point.fnmr <= point.by_chance[2] * 1.1


@pytest.mark.parametrize(
    "change", [{"share": 1.0}, {"share": -0.1}, {"badness": np.zeros(3)}, {"badness": np.full(400, np.nan)}]
)
def test_bad_values_are_refused(change: dict[str, object]) -> None:
    vectors, subjects, noise = samples()
    values = {"badness": noise, "measure": "noise", "share": 0.1, "threshold": 0.6, **change}
    with pytest.raises(InputError, match="expected"):
        discard(vectors, subjects, **values)


def test_subjects_with_one_sample_each_are_refused() -> None:
    vectors, _, noise = samples()
    with pytest.raises(InputError, match="two samples"):
        discard(vectors, tuple(map(str, range(400))), noise, measure="n", share=0.1, threshold=0.5)
