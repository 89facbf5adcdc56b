"""Measure how often the interval of a smoothed difference contains the true difference, and how often a verdict is wrong.

    python -m tools.difference_coverage
    python -m tools.difference_coverage --population hard --subjects 300 --loss 0.003 --draws 1000

Unit embeddings of simulated subjects are drawn again and again; the candidate's embeddings are those of the baseline with
noise, of the size that gives the loss of TAR in a large population. Each draw is evaluated as a data set of its own.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

import numpy as np

from converters.evaluate.metrics import AllPairs, SmoothedDifference, pooled_difference
from converters.evaluate.metrics.margin import judge
from converters.evaluate.metrics.smoothed import BANDWIDTH, pooled_fmrs
from edge_sdk.types import Float64Array, FloatArray
from tools.coverage import POPULATIONS, Population

MARGIN = 0.003


@dataclass(frozen=True)
class Candidate:
    """Embeddings of a candidate: those of the baseline with noise.

    Args:
        noise: Size of the noise, relative to an embedding of length 1.
        affected: Share of the subjects whose embeddings have the noise, 0..1.
        offset: Weight of a direction that is added to every embedding.
    """

    noise: float
    affected: float = 1.0
    offset: float = 0.0

    def embed(self, vectors: FloatArray, labels: np.ndarray, generator: np.random.Generator) -> FloatArray:
        """Return the candidate's embeddings of the same images."""
        chosen = generator.random(int(labels.max()) + 1) < self.affected
        drawn = generator.standard_normal(vectors.shape, dtype=np.float32) / np.float32(
            np.sqrt(vectors.shape[1])
        )
        changed = vectors + np.float32(self.noise) * chosen[labels, None] * drawn
        changed[:, 0] += np.float32(self.offset)
        return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Truth:
    """TAR of a population at some FMRs, from many comparisons."""

    population: Population
    fmrs: Float64Array
    subjects: int = 6000
    mated: int = 200_000

    def tar(self, candidate: Candidate) -> float:
        """Compute the mean TAR over the FMRs; the same draw for every candidate."""
        generator, noise = np.random.default_rng(77), np.random.default_rng(78)
        vectors, labels = self.population.draw(generator, self.subjects, np.ones(self.subjects, int))
        vectors = candidate.embed(vectors, labels, noise)
        floor, highest = -1.0, []
        for start in range(0, self.subjects, 500):
            scores = vectors[start : start + 500] @ vectors[start:].T
            if start == 0:
                floor = float(np.quantile(scores[:, ::7], 1 - 3 * self.fmrs.max()))
            scores[np.tril(np.ones(scores.shape, bool))] = -1.0
            highest.append(scores[scores > floor])
        ranks = self.fmrs * (self.subjects * (self.subjects - 1) / 2)
        thresholds = np.sort(np.concatenate(highest))[::-1][ranks.astype(int)]
        shares = np.zeros(self.fmrs.size)
        for _ in range(self.mated // 10_000):
            vectors, labels = self.population.draw(generator, 10_000, np.full(10_000, 2))
            vectors = candidate.embed(vectors, labels, noise)
            scores = (vectors[0::2] * vectors[1::2]).sum(axis=1)
            shares += (scores[:, None] >= thresholds).mean(axis=0)
        return float(shares.mean() / (self.mated // 10_000))

    def with_loss(self, loss: float, affected: float) -> tuple[Candidate, float]:
        """Find the candidate that loses this share of mated comparisons; return it and its true difference."""
        before = self.tar(Candidate(0.0))
        rough = replace(self, subjects=3000, mated=60_000)
        level = rough.tar(Candidate(0.0))
        if loss == 0.0:
            return Candidate(0.0, offset=0.3), self.tar(Candidate(0.0, offset=0.3)) - before
        low, high = 0.0, 1.5 if affected == 1.0 else 6.0
        for _ in range(7):
            middle = (low + high) / 2
            low, high = (
                (middle, high) if level - rough.tar(Candidate(middle, affected)) < loss else (low, middle)
            )
        candidate = Candidate((low + high) / 2, affected)
        return candidate, self.tar(candidate) - before


def measure(
    population: Population,
    candidate: Candidate,
    true: float,
    *,
    subjects: int,
    draws: int,
    seed: int = 0,
    bandwidth: float = BANDWIDTH,
) -> dict[str, float]:
    """Evaluate many draws of a population and return shares of draws, 0..1, and differences in points."""
    rows: list[tuple[float, float, float]] = []
    verdicts: list[str] = []
    for draw in range(draws):
        generator = np.random.default_rng([seed, subjects, draw])
        vectors, labels = population.draw(generator, subjects)
        changed = candidate.embed(vectors, labels, generator)
        row = pooled_difference(
            AllPairs(vectors, labels), AllPairs(changed, labels), seed=draw, bandwidth=bandwidth
        )
        if isinstance(row, SmoothedDifference):
            rows.append((row.difference, row.interval.low, row.interval.high))
            verdicts.append(judge(row, margin=MARGIN).verdict)
    middle, low, high = np.array(rows).T
    return {
        "mean": 100 * float(middle.mean()),
        "sd": 100 * float(middle.std()),
        "width": 100 * float(np.median(high - low)),
        "covered": float(((low <= true) & (true <= high)).mean()),
        "too good": float((low > true).mean()),
        "too bad": float((high < true).mean()),
        "no worse": verdicts.count("no worse") / len(verdicts),
        "worse": verdicts.count("worse") / len(verdicts),
    }


def main() -> None:
    """Print one row per population, number of subjects and loss."""
    populations = {population.name: population for population in POPULATIONS}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--population", choices=sorted(populations), action="append", help="default: all")
    parser.add_argument("--subjects", type=int, action="append", help="default: 40, 76, 300")
    parser.add_argument(
        "--loss", type=float, action="append", help="true loss, a share (default: 0, 0.003, 0.01)"
    )
    parser.add_argument(
        "--affected", type=float, default=1.0, help="share of subjects with a loss (default: 1)"
    )
    parser.add_argument("--draws", type=int, default=300, help="data sets per row (default: 300)")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--bandwidth", type=float, default=BANDWIDTH, help=f"default: {BANDWIDTH}")
    options = parser.parse_args()
    print(
        f"margin {100 * MARGIN:g} points; differences in points, shares of {options.draws} data sets in percent"
    )
    print("population subjects  true  mean    sd  width  covered  all too good  all too bad  no worse  worse")
    for name in options.population or populations:
        for subjects in options.subjects or (40, 76, 300):
            truth = Truth(populations[name], pooled_fmrs(subjects * (subjects - 1) // 2))
            for loss in options.loss or (0.0, 0.003, 0.01):
                candidate, true = truth.with_loss(loss, options.affected)
                row = measure(
                    populations[name],
                    candidate,
                    true,
                    subjects=subjects,
                    draws=options.draws,
                    seed=options.seed,
                    bandwidth=options.bandwidth,
                )
                print(
                    f"{name:<10} {subjects:>8} {100 * true:>5.2f} {row['mean']:>5.2f} {row['sd']:>5.3f} {row['width']:>6.2f}"
                    f" {100 * row['covered']:>8.1f} {100 * row['too good']:>13.1f} {100 * row['too bad']:>12.1f}"
                    f" {100 * row['no worse']:>9.1f} {100 * row['worse']:>6.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
