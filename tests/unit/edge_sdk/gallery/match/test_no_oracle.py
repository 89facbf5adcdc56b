"""Attacks that try to recover a template from decisions.

An attacker who is never accepted learns nothing. A control shows that the attack works: an attacker who is accepted and
not limited recovers the template. The attacker submits embeddings, which is more than faces before a camera allow.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.gallery import AttemptPolicy, Decision, Gallery, InMemoryKey
from edge_sdk.gallery.attempt_counter import Moment
from tests.simulated_file_system import SimulatedFileSystem

KEY = InMemoryKey(bytes(range(32)))
D = 128
SUBJECTS = 20
THRESHOLD = 0.45
PROBES = 4000
Ask = Callable[[np.ndarray], bool]


def units(seed: int, count: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, D))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TEMPLATES = units(1, SUBJECTS)


def make_gallery(limit: AttemptPolicy | None, uptime_ms: list[int]) -> Gallery:
    gallery = Gallery.create(
        Path("home.gallery"),
        key=KEY,
        model_id=bytes(32),
        dimension=D,
        filesystem=SimulatedFileSystem(),
        uptime=lambda: Moment(b"1" * 16, uptime_ms[0]),
    )
    with gallery.transaction() as t:
        for index, template in enumerate(TEMPLATES):
            t.enrol(f"s{index}", template.astype(np.float32))
        t.limit_attempts(limit)
    return gallery


def closeness(estimate: np.ndarray) -> float:
    """Return the cosine to the closest template."""
    return float((TEMPLATES @ estimate).max() / np.linalg.norm(estimate))


def climb(ask: Ask, probes: int) -> np.ndarray:
    """Walk randomly, away from the mean of the rejected probes, until a probe is accepted."""
    random = np.random.default_rng(2)
    position, rejected = units(3, 1)[0], np.zeros(D)
    for _ in range(probes):
        step = position + 0.5 * random.normal(size=D) / np.sqrt(D)
        step /= np.linalg.norm(step)
        if ask(step):
            return around(ask, step)
        rejected += step
        position = step - 0.01 * rejected / np.linalg.norm(rejected)
    return position - rejected / np.linalg.norm(rejected)


def around(ask: Ask, accepted: np.ndarray) -> np.ndarray:
    """Locate the boundary of acceptance, a plane, in D directions around an accepted probe."""
    basis = np.linalg.qr(np.column_stack([accepted, units(4, D - 1).T]))[0].T
    basis[0] = accepted
    estimate, along = np.zeros(D), []
    for direction in basis[1:]:
        ends = []
        for sign in (1, -1):
            low, high = 0.0, np.pi / 2
            for _ in range(12):
                middle = (low + high) / 2
                inside = ask(np.cos(middle) * accepted + sign * np.sin(middle) * direction)
                low, high = (middle, high) if inside else (low, middle)
            ends.append((low + high) / 2)
        (c1, s1), (c2, s2) = ((np.cos(end), np.sin(end)) for end in ends)
        ahead = (s1 + s2) / (c1 * s2 + c2 * s1)  # in units of the threshold
        along.append(ahead)
        estimate += (1 - ahead * c1) / s1 * direction
    return estimate + float(np.median(along)) * accepted


@pytest.mark.parametrize("limit", [None, AttemptPolicy()])
def test_an_attacker_who_is_never_accepted_learns_no_more_than_by_guessing(
    limit: AttemptPolicy | None,
) -> None:
    uptime_ms = [0]
    gallery = make_gallery(limit, uptime_ms)
    decisions: list[Decision] = []

    def ask(probe: np.ndarray) -> bool:
        uptime_ms[0] += 60_000  # longer than every wait
        answer = gallery.identify(probe.astype(np.float32), threshold=THRESHOLD)
        decisions.append(answer.decision)
        return answer.accepted

    learned = closeness(climb(ask, PROBES))
    guesses = [closeness(guess) for guess in units(9, 2000)]
    assert learned < np.quantile(guesses, 0.999)
    assert decisions.count(Decision.REJECTED) == (PROBES if limit is None else limit.most)


def test_control_an_attacker_who_is_accepted_and_not_limited_recovers_the_template() -> None:
    """The limit on failed attempts has no effect, because every success resets it (see SECURITY.md)."""
    uptime_ms = [0]
    gallery = make_gallery(AttemptPolicy(free=50, most=50), uptime_ms)
    lookalike = 0.6 * TEMPLATES[7] + 0.8 * units(11, 1)[0]
    probes = 0

    def ask(probe: np.ndarray) -> bool:
        nonlocal probes
        probes += 1
        accepted = gallery.identify(probe.astype(np.float32), threshold=THRESHOLD).accepted
        gallery.identify(lookalike.astype(np.float32), threshold=THRESHOLD)
        return accepted

    estimate = around(ask, lookalike / np.linalg.norm(lookalike))
    assert closeness(estimate) > 0.99
    assert probes < 3100
