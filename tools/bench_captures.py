"""Measure how often captures of two or more people are enrolled as one person, and how often one person is refused, on real images.

    python -m tools.bench_captures face.tflite \
        --images lfw_devtest_aligned112.tar --strangers lfw_calibration_aligned112.tar

The threshold for captures is the measured point of all pairs of the `--strangers` set at FMR 1e-2. Each trial draws people
of `--images` and pictures of each: `3+2` is three pictures of a person and two of another one. A rule tells from the number
of other captures that each capture matches if the captures are enrolled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from edge_sdk.gallery.rules.enrolment import groups_of_captures, odd_capture
from edge_sdk.types import Float64Array
from tools.bench_looks import threshold_of
from tools.two_groups import embed_two_groups, two_groups_parser

TRIALS = 4000
ONE_PERSON = ((2,), (3,), (4,), (5,), (6,))
MIXTURES = ((1, 1), (2, 1), (2, 2), (3, 1), (3, 2), (4, 1), (2, 2, 1), (3, 3), (4, 3))


def fewest_matches(rows: Float64Array, threshold: float) -> int:
    """Return the number of other captures that the least alike capture matches."""
    return int((rows @ rows.T >= threshold).sum(axis=1).min()) - 1


Rule = Callable[[Float64Array, float], bool]
RULES: dict[str, Rule] = {
    "one other": lambda rows, t: fewest_matches(rows, t) >= 1,
    "one group": lambda rows, t: len(groups_of_captures(rows, t)) == 1,
    "half of the others": lambda rows, t: 2 * fewest_matches(rows, t) >= len(rows) - 1,
    "more than half": lambda rows, t: odd_capture(rows, t) is None,
    "all others": lambda rows, t: fewest_matches(rows, t) == len(rows) - 1,
}


def shares_enrolled(images: EmbeddedSamples, threshold: float, pictures: Sequence[int]) -> dict[str, float]:
    """Return for each rule the share of trials that are enrolled.

    Args:
        images: Labelled images.
        threshold: Cosine at which two captures match.
        pictures: Number of pictures of each person of a trial.
    """
    random = np.random.default_rng(0)
    rows, subjects = np.asarray(images.vectors, np.float64), np.asarray(images.subjects)
    people = [np.flatnonzero(subjects == subject) for subject in np.unique(subjects)]
    enough = [[place for place, own in enumerate(people) if len(own) >= count] for count in pictures]
    enrolled = dict.fromkeys(RULES, 0)
    for _ in range(TRIALS):
        drawn: list[int] = []
        for places in enough:
            drawn.append(int(random.choice([place for place in places if place not in drawn])))
        chosen = [
            random.permutation(people[place])[:count] for place, count in zip(drawn, pictures, strict=True)
        ]
        captures = rows[np.concatenate(chosen)]
        for name, rule in RULES.items():
            enrolled[name] += rule(captures, threshold)
    return {name: count / TRIALS for name, count in enrolled.items()}


def main() -> None:
    """Print one line for each number of pictures of each person."""
    parser = two_groups_parser(__doc__)
    parser.add_argument("--threshold", type=float, help="threshold for captures (default: measured)")
    options = parser.parse_args()
    images, strangers = embed_two_groups(options)
    threshold = threshold_of(strangers) if options.threshold is None else options.threshold
    print(f"threshold for captures: {threshold:.3f}; percent of {TRIALS} trials, by rule")
    print(f"{'captures':<16} {'  '.join(RULES)}")
    for pictures in (*ONE_PERSON, *MIXTURES):
        alone = len(pictures) == 1
        shares = shares_enrolled(images, threshold, pictures)
        cells = (f"{100 * (1 - s if alone else s):{len(name)}.2f}" for name, s in shares.items())
        label = "+".join(map(str, pictures)) + (" refused" if alone else " enrolled")
        print(f"{label:<16} {'  '.join(cells)}")


if __name__ == "__main__":
    main()
