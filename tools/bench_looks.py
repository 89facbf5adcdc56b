"""Measure which rule tells pictures of an enrolled person from a stranger's before they are added to the person, on real images.

    python -m tools.bench_looks face.cpu_int8.tflite \
        --images lfw_devtest_aligned112.tar --strangers lfw_calibration_aligned112.tar

The threshold for captures is the measured point of all pairs of the `--strangers` set at FMR 1e-2. In each trial a person
of `--images` is enrolled with random pictures, and further pictures of the same person, or of one other person, are
added. Prints for each rule the share of the person's own additions that is refused, and of the strangers' that is accepted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.gallery.rules.enrolment import unlike_capture
from edge_sdk.types import Float64Array
from tools.two_groups import embed_two_groups, two_groups_parser

TRIALS = 4000
FMR = 1e-2
Rule = Callable[[Float64Array, Float64Array, float], bool]
RULES: dict[str, Rule] = {
    "half of the templates": lambda new, own, t: unlike_capture(new, own, t) is None,
    "one of the templates": lambda new, own, t: bool(((new @ own.T).max(axis=1) >= t).all()),
    "mean of the templates": lambda new, own, t: bool(((new @ own.T).mean(axis=1) >= t).all()),
}


def threshold_of(strangers: EmbeddedSamples) -> float:
    """Return the lowest threshold whose measured FMR among all pairs of different people is at most 1e-2."""
    rows = np.asarray(strangers.vectors, np.float64)
    first, second = np.triu_indices(len(rows), 1)
    subjects = np.asarray(strangers.subjects)
    other = subjects[first] != subjects[second]
    return float(np.quantile((rows @ rows.T)[first, second][other], 1 - FMR))


def trials(
    images: EmbeddedSamples, threshold: float, enrolled: int, added: int
) -> dict[str, tuple[float, float]]:
    """Return for each rule the share of own additions refused and of strangers' additions accepted."""
    random = np.random.default_rng(0)
    rows, subjects = np.asarray(images.vectors, np.float64), np.asarray(images.subjects)
    people = [np.flatnonzero(subjects == subject) for subject in np.unique(subjects)]
    enough = [person for person in people if len(person) >= enrolled + added]
    others = [person for person in people if len(person) >= added]
    refused, accepted, strangers = dict.fromkeys(RULES, 0), dict.fromkeys(RULES, 0), 0
    for _ in range(TRIALS):
        person = random.permutation(enough[random.integers(len(enough))])
        other = random.permutation(others[random.integers(len(others))])[:added]
        own, new = rows[person[:enrolled]], rows[person[enrolled : enrolled + added]]
        is_stranger = subjects[other[0]] != subjects[person[0]]
        strangers += is_stranger
        for name, rule in RULES.items():
            refused[name] += not rule(new, own, threshold)
            accepted[name] += is_stranger and rule(rows[other], own, threshold)
    print(f"\n{enrolled} enrolled, {added} added; {len(enough)} people with enough pictures")
    return {name: (refused[name] / TRIALS, accepted[name] / max(1, strangers)) for name in RULES}


def main() -> None:
    """Print one table for each number of pictures."""
    options = two_groups_parser(__doc__).parse_args()
    images, strangers = embed_two_groups(options)
    threshold = threshold_of(strangers)
    print(f"threshold for captures: {threshold:.3f}")
    for enrolled, added in ((1, 1), (1, 3), (3, 1), (3, 3)):
        for name, (own, stranger) in trials(images, threshold, enrolled, added).items():
            print(f"{name:<24} own refused {100 * own:5.2f} %   strangers accepted {100 * stranger:5.2f} %")


if __name__ == "__main__":
    main()
