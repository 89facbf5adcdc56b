"""Measure how often differences between groups are reported that exist, and that do not exist.

python -m tools.group_power
python -m tools.group_power --population hard --draws 200 --case misses

The data sets are drawn from the populations of `tools.coverage` and have several groups. In each case the first group
may differ from the others:

    none        no group differs
    alike       subjects of each group look alike, equally in all groups: FMR is higher within groups than across, but no
                group differs
    matches     subjects of the first group look more alike: its FMR is higher
    misses      images of the first group are noisier: its FNMR is higher
    int8        a second file adds noise to all images: no group loses more than the others
    int8-group  a second file adds more noise to the images of the first group

The tests are those of `edge-convert evaluate --groups` and `compare --groups` at FMR 1e-2 and 1e-3 together.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from converters.evaluate.metrics.covariates import Covariates
from converters.evaluate.metrics.curves import threshold_at_fmr
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.group_changes import group_changes
from converters.evaluate.metrics.groups import measure_groups
from converters.evaluate.metrics.subject_scores import AllPairs
from converters.progress import stage
from edge_sdk.types import FloatArray
from tools.coverage import DIMENSION, POPULATIONS, Population

FMRS = (1e-2, 1e-3)
SIZES = ((30, 30, 30, 30), (20, 30, 40, 60), (76, 76, 76))
CASES = ("none", "alike", "matches", "misses", "int8", "int8-group")


@dataclass(frozen=True)
class Outcome:
    """Result of one case.

    Attributes:
        population, case: Names.
        sizes: Subjects of each group; the first group may differ.
        draws: Number of data sets.
        first, others: Mean FMR (case `matches`) or FNMR of the first group and of the others, at FMR 1e-2; in cases with
            a second file, the mean change of the FNMR.
        alarms: Share of the data sets in which any group is reported.
        power: Share of the data sets in which the first group is reported in the direction of its difference.
    """

    population: str
    case: str
    sizes: tuple[int, ...]
    draws: int
    first: float
    others: float
    alarms: float
    power: float


def measure(
    population: Population,
    sizes: Sequence[int],
    case: str,
    draws: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Draw data sets of one case and count the reports.

    Args:
        population: The population.
        sizes: Subjects of each group.
        case: One of `CASES`.
        draws: Number of data sets.
        progress: Called with (done, draws).
    """
    reports = []
    for draw in range(draws):
        generator = np.random.default_rng([draw, len(sizes), sum(sizes), CASES.index(case)])
        vectors, subject = population.draw(generator, sum(sizes))
        group = np.repeat(np.arange(len(sizes)), sizes)[subject]
        vectors = _changed(vectors, group, case, generator)
        if case.startswith("int8"):
            spread = np.where((group == 0) & (case == "int8-group"), 0.7, 0.2)
            reports.append(_of_two_files(vectors, _noisy(vectors, spread, generator), subject, group))
        else:
            reports.append(_of_one_file(vectors, subject, group, "FMR" if case == "matches" else "FNMR"))
        if progress is not None:
            progress(draw + 1, draws)
    first, others, alarms, power = np.mean(np.array(reports, dtype=np.float64), axis=0)
    return Outcome(
        population.name, case, tuple(sizes), draws, float(first), float(others), float(alarms), float(power)
    )


def _changed(vectors: FloatArray, group: np.ndarray, case: str, generator: np.random.Generator) -> FloatArray:
    own = np.linalg.qr(np.random.default_rng(5).normal(size=(DIMENSION, DIMENSION)))[0][: group.max() + 1]
    if case == "alike":
        # The own part along the directions is removed, so that all groups have the same rates.
        changed = vectors - vectors @ own.T @ own + 0.35 * own[group]
    elif case == "matches":
        changed = vectors + np.where(group == 0, 0.35, 0.0)[:, None] * own[group]
    elif case == "misses":
        return _noisy(vectors, np.where(group == 0, 0.8, 0.0), generator)
    else:
        return vectors
    return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), dtype=np.float32)


def _noisy(vectors: FloatArray, spread: np.ndarray, generator: np.random.Generator) -> FloatArray:
    noise = generator.normal(size=vectors.shape) / np.sqrt(DIMENSION)
    changed = vectors + spread[:, None] * noise
    return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), dtype=np.float32)


def _labels(subject: np.ndarray, group: np.ndarray) -> tuple[Covariates, list[str], list[str]]:
    subjects = [f"{number:05}" for number in subject]
    rows = {name: (f"group {number}",) for name, number in zip(subjects, group.tolist(), strict=True)}
    names = [f"{name}/{place}" for place, name in enumerate(subjects)]
    return Covariates("groups.csv", "0" * 64, False, ("group",), rows), names, subjects


def _threshold(comparisons: AllPairs, fmr: float) -> float:
    threshold = threshold_at_fmr(comparisons.scores(), fmr)
    if isinstance(threshold, Unsupported):
        raise RuntimeError(threshold.reason)
    return threshold


def _of_one_file(
    vectors: FloatArray, subject: np.ndarray, group: np.ndarray, rate: str
) -> tuple[float, float, bool, bool]:
    comparisons = AllPairs(vectors, subject)
    thresholds = [(fmr, _threshold(comparisons, fmr)) for fmr in FMRS]
    evidence = measure_groups(comparisons, *_labels(subject, group), thresholds=thresholds)
    (covariate,) = evidence.covariates
    flagged = [test for _, test in covariate.flagged()]
    worse = any(t.group == "group 0" and t.rate == rate and t.value > t.others for t in flagged)
    rows = [test for test in covariate.points[0].tests if test.rate == rate and test.group == "group 0"]
    return rows[0].value, rows[0].others, bool(flagged), worse


def _of_two_files(
    before: FloatArray, after: FloatArray, subject: np.ndarray, group: np.ndarray
) -> tuple[float, float, bool, bool]:
    baseline, candidate = AllPairs(before, subject), AllPairs(after, subject)
    thresholds = [(fmr, _threshold(baseline, fmr), _threshold(candidate, fmr)) for fmr in FMRS]
    rows = group_changes(baseline, candidate, *_labels(subject, group), thresholds=thresholds)
    changes = [change for row in rows for change in row.changes]
    first = rows[0].changes[0]
    lost = any(
        row.changes[0].differs and (row.changes[0].fnmr_change or 0.0) > (row.changes[0].fnmr_others or 0.0)
        for row in rows
    )
    return first.fnmr_change or 0.0, first.fnmr_others or 0.0, any(c.differs for c in changes), lost


def _line(outcome: Outcome) -> str:
    sizes = "+".join(str(size) for size in outcome.sizes)
    rates = f"{100 * outcome.first:>8.2f}  {100 * outcome.others:>8.2f}"
    power = (
        f"{100 * outcome.power:>6.1f}" if outcome.case in ("matches", "misses", "int8-group") else f"{'':>6}"
    )
    return (
        f"{outcome.population:<10}  {outcome.case:<10}  {sizes:<12}  {outcome.draws:>5}  {rates}"
        f"  {100 * outcome.alarms:>6.1f}  {power}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the options, measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [population.name for population in POPULATIONS]
    parser.add_argument("--population", choices=names, help="measure one population (default: both)")
    parser.add_argument("--case", choices=CASES, help="measure one case (default: all)")
    parser.add_argument("--draws", type=int, default=200, help="data sets per row, at least 1 (default: 200)")
    parser.add_argument(
        "--sizes", help="subjects of each group, such as 20,30,40 (default: three sets of sizes)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    sizes = SIZES if options.sizes is None else (tuple(int(size) for size in options.sizes.split(",")),)
    outcomes = []
    if not options.json:
        print(
            f"{'population':<10}  {'case':<10}  {'subjects':<12}  {'draws':>5}  {'first %':>8}  {'others %':>8}"
            f"  {'any %':>6}  {'power %':>6}"
        )
    for population in POPULATIONS:
        if options.population in (None, population.name):
            for case in CASES if options.case is None else (options.case,):
                for chosen in sizes:
                    with stage(f"{population.name}, {case}, {chosen}") as progress:
                        outcomes.append(measure(population, chosen, case, options.draws, progress=progress))
                    if not options.json:
                        print(_line(outcomes[-1]), flush=True)
    if options.json:
        print(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
