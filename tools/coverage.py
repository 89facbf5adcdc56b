"""Measure how often the 95 % intervals of 1:1 evidence contain the true rate, and how often a claim is exceeded.

python -m tools.coverage
python -m tools.coverage --population hard --subjects 76 --draws 200

Unit embeddings are drawn from populations whose true rates are known from a large sample of subjects. In both, subjects
differ: some resemble each other (families, a shared direction), some have scattered images. `mild` has 2 to 6 images per
subject, `hard` has 2 to 80 and stronger differences.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics import (
    AllPairs,
    Interval,
    OperatingPointEvidence,
    Unsupported,
    operating_points,
)
from converters.progress import stage
from edge_sdk import console

DIMENSION = 64
FMRS = (1e-2, 1e-3, 1e-4)
SUBJECTS = (20, 76, 300)
TRUE_SUBJECTS = 6000


@dataclass(frozen=True)
class Population:
    """A distribution of subjects and of their images.

    Args:
        name: `mild` or `hard`.
        families: Number of directions that subjects of one family share.
        alike: Strength of the family's direction and of the direction shared by all.
        scatter: Standard deviation of the logarithm of a subject's noise.
        most_images: Largest number of images of a subject; from 7 on the number has a heavy tail.
    """

    name: str
    families: int
    alike: float
    scatter: float
    most_images: int

    def draw(
        self, generator: np.random.Generator, subjects: int, images: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw embeddings (n, 64), float32, unit rows, and their subject numbers (n,)."""
        shared = np.random.default_rng(1).normal(size=(self.families + 1, DIMENSION)) / np.sqrt(DIMENSION)
        own = generator.normal(size=(subjects, DIMENSION)) / np.sqrt(DIMENSION)
        family = shared[generator.integers(self.families, size=subjects)]
        own += self.alike * generator.beta(1, 2, size=(subjects, 1)) * family
        own += self.alike * generator.beta(1, 6, size=(subjects, 1)) * shared[-1]
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        noise = 0.6 * np.exp(self.scatter * generator.normal(size=subjects))
        if images is None:
            images = self.image_counts(generator, subjects)
        rows = np.repeat(np.arange(subjects), images)
        quality = np.exp(0.25 * generator.normal(size=rows.size))
        drawn = generator.normal(size=(rows.size, DIMENSION)) / np.sqrt(DIMENSION)
        vectors = own[rows] + (noise[rows] * quality)[:, None] * drawn
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32), rows

    def image_counts(self, generator: np.random.Generator, subjects: int) -> np.ndarray:
        """Draw the number of images of each subject, shape (subjects,)."""
        if self.most_images <= 6:
            return generator.integers(2, self.most_images + 1, size=subjects)
        return np.minimum(2 + (1.5 * generator.pareto(1.1, size=subjects)).astype(int), self.most_images)


POPULATIONS = (Population("mild", 30, 0.45, 0.35, 6), Population("hard", 30, 0.45, 0.45, 80))


class TrueRates:
    """FMR and TAR of a population, from many subjects with two images each."""

    def __init__(self, population: Population, *, repeats: int = 4) -> None:
        generator = np.random.default_rng(99)
        edges = np.linspace(-1, 1, 40_001)
        counts, mated = np.zeros(edges.size - 1), []
        for _ in range(repeats):
            vectors, _ = population.draw(generator, TRUE_SUBJECTS, np.full(TRUE_SUBJECTS, 2))
            first, second = vectors[0::2], vectors[1::2]
            mated.append((first * second).sum(axis=1))
            for start in range(0, TRUE_SUBJECTS, 500):
                scores = first[start : start + 500] @ first.T
                later = np.arange(TRUE_SUBJECTS)[None] > np.arange(start, start + len(scores))[:, None]
                counts += np.histogram(scores[later], edges)[0]
        self._edges = edges[:-1]
        self._above = np.cumsum(counts[::-1])[::-1] / counts.sum()
        self._mated = np.sort(np.concatenate(mated))

    def fmr(self, threshold: float) -> float:
        """Return the share of non-mated scores at or above a threshold."""
        return float(np.interp(threshold, self._edges, self._above))

    def tar(self, threshold: float) -> float:
        """Return the share of mated scores at or above a threshold, mean over subjects."""
        return 1.0 - float(np.searchsorted(self._mated, threshold)) / self._mated.size

    def threshold(self, fmr: float) -> float:
        """Return the threshold with this FMR."""
        return float(np.interp(-fmr, -self._above, self._edges))


def measure(
    population: Population,
    subjects: int,
    draws: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, float | str | int | None]]:
    """Draw data sets and compare their evidence with the true rates.

    Args:
        population: The population.
        subjects: Number of subjects in a data set.
        draws: Number of data sets.
        seed: Seed of the draws.
        progress: Called with (done, total).

    Returns:
        One row per FMR: shares of the draws, or None if no draw had the figure.
    """
    true = TrueRates(population)
    outcomes: dict[float, dict[str, list[float]]] = {fmr: defaultdict(list) for fmr in FMRS}
    for number in range(draws):
        vectors, labels = population.draw(np.random.default_rng([seed, subjects, number]), subjects)
        data = AllPairs(vectors, labels)
        rows = operating_points(data, data.scores(), data_set="drawn", data_digest="0" * 64, fmrs=FMRS)
        for row in rows:
            if isinstance(row, OperatingPointEvidence):
                for name, value in _judge(row, true):
                    outcomes[row.target_fmr][name].append(value)
        if progress is not None:
            progress(number + 1, draws)
    return [
        {
            "population": population.name,
            "subjects": subjects,
            "fmr": fmr,
            "measured": len(outcomes[fmr]["fmr_covered"]),
            "claims": len(outcomes[fmr]["exceeded"]),
            **{
                name: _mean(outcomes[fmr][name])
                for name in ("tar_covered", "fnmr_covered", "fmr_covered", "exceeded", "factor", "cost")
            },
        }
        for fmr in FMRS
    ]


def _judge(row: OperatingPointEvidence, true: TrueRates) -> Iterator[tuple[str, float]]:
    fmr, target = true.fmr(row.threshold), row.target_fmr
    for name, bounds, value in (
        ("fmr_covered", row.fmr_interval, fmr),
        ("fnmr_covered", row.fnmr_interval, 1.0 - true.tar(row.threshold)),
        ("tar_covered", row.measured.tar_interval, true.tar(true.threshold(target))),
    ):
        if isinstance(bounds, Interval):
            yield name, float(bounds.low <= value <= bounds.high)
    if not isinstance(row.claim, Unsupported):
        yield "exceeded", float(fmr > target)
        yield "factor", fmr / target
        yield "cost", true.tar(row.measured.threshold) - true.tar(row.threshold)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def table(rows: Sequence[dict[str, float | str | int | None]]) -> str:
    """Format the rows as a Markdown table."""
    lines = [
        "| population | subjects | FMR | TAR at FMR | FNMR at threshold | FMR at threshold | claims | true FMR above claim |"
        " true FMR / claim | TAR cost, points |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = [_percent(row[name]) for name in ("tar_covered", "fnmr_covered", "fmr_covered")]
        claims = f"{row['claims']} of {row['measured']}"
        factor = "-" if row["factor"] is None else f"{row['factor']:.2f}"
        cost = "-" if row["cost"] is None else f"{100 * float(row['cost'] or 0):.2f}"
        cells = [
            row["population"],
            row["subjects"],
            f"{row['fmr']:g}",
            *shares,
            claims,
            _percent(row["exceeded"]),
        ]
        lines.append("| " + " | ".join(str(cell) for cell in (*cells, factor, cost)) + " |")
    return "\n".join(lines)


def _percent(value: float | str | int | None) -> str:
    return "-" if value is None else f"{100 * float(value):.1f} %"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.coverage", description=(__doc__ or "").split("\n")[0]
    )
    names = [population.name for population in POPULATIONS]
    parser.add_argument("--population", choices=names, help="population (default: both)")
    parser.add_argument(
        "--subjects", type=int, help="subjects in a data set, 2 or more (default: 20, 76 and 300)"
    )
    parser.add_argument(
        "--draws", type=int, default=300, help="data sets per row, 1 or more (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: a Markdown table)")
    arguments = parser.parse_args(argv)

    def run() -> int:
        rows = []
        for population in POPULATIONS:
            for subjects in [arguments.subjects] if arguments.subjects else SUBJECTS:
                if arguments.population in (None, population.name):
                    with stage(f"{population.name}, {subjects} subjects") as progress:
                        rows += measure(
                            population, subjects, arguments.draws, seed=arguments.seed, progress=progress
                        )
        print(json.dumps(rows, indent=1) if arguments.json else table(rows))
        return 0

    return console.run("coverage", run)


if __name__ == "__main__":
    sys.exit(main())
