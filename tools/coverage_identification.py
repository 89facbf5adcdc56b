"""Measure how often 1:N intervals contain the true rate, and how often a claimed FPIR is exceeded.

    python -m tools.coverage_identification intervals
    python -m tools.coverage_identification doors

`intervals` draws subjects again and again, enrols half of them, searches all other images, and compares the intervals and the
claims of the evaluation with the true rates of other strangers and other galleries of the same size. `doors` takes the
threshold for an FPIR from the 1:1 claim of a simulated card (`fmr_for_fpir`) and computes the true FPIR of
galleries with that threshold. The output is a Markdown table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.evaluate.metrics import (
    AllPairs,
    IdentificationPoint,
    Interval,
    OperatingPointEvidence,
    fmr_for_fpir,
    operating_points,
    point_at_fpir,
    rank_shares,
    search,
)
from converters.evaluate.metrics.searches import SearchScores
from edge_sdk.types import FloatArray
from tools.coverage import DIMENSION, POPULATIONS, Population

FPIRS = (0.1, 0.03, 0.01)
#: Subjects of the pool from which the true rates are computed, and number of its permutations into galleries.
POOL, ROUNDS = 3000, 3
_BY_NAME = {population.name: population for population in POPULATIONS}


@dataclass(frozen=True)
class Truth:
    """True rates of random galleries of E subjects with k templates and random strangers.

    Attributes:
        tops: Ascending: highest scores of non-mated searches.
        own: Ascending: scores of the mated searches whose subject has rank 1.
        mated: Number of mated searches.
    """

    tops: FloatArray
    own: FloatArray
    mated: int

    @classmethod
    def of(
        cls, population: Population, *, enrolled: int, templates: int, rounds: int = ROUNDS, seed: int = 5
    ) -> Truth:
        """Search galleries from a large pool; every gallery has other strangers."""
        generator, tops, own, mated = np.random.default_rng(seed), [], [], 0
        for _ in range(rounds):
            pool = population.draw(generator, POOL, np.full(POOL, templates + 1))[0].reshape(
                POOL, templates + 1, -1
            )
            strangers = population.draw(generator, 2 * POOL, np.ones(2 * POOL, np.int64))[0]
            order = generator.permutation(POOL)[: POOL // enrolled * enrolled]
            for subjects in order.reshape(-1, enrolled):
                gallery = pool[subjects, :templates].reshape(-1, DIMENSION)
                visitors = strangers[generator.integers(2 * POOL, size=600)]
                tops.append((visitors @ gallery.T).max(axis=1))
                scores = pool[subjects, templates] @ gallery.T
                best = scores.reshape(enrolled, enrolled, templates).max(axis=2)
                mine = np.diag(best).copy()
                np.fill_diagonal(best, -2.0)
                own.append(mine[mine > best.max(axis=1)])
                mated += enrolled
        return cls(np.sort(np.concatenate(tops)), np.sort(np.concatenate(own)), mated)

    def fpir(self, threshold: float) -> float:
        """True FPIR at a threshold."""
        return 1.0 - float(np.searchsorted(self.tops, threshold)) / self.tops.size

    def threshold(self, fpir: float) -> float:
        """Threshold with this true FPIR."""
        return float(self.tops[int((1.0 - fpir) * self.tops.size)])

    def fnir(self, threshold: float) -> float:
        """True FNIR at a threshold and rank 1."""
        return 1.0 - (self.own.size - float(np.searchsorted(self.own, threshold))) / self.mated


@dataclass
class Tally:
    """Counts of the intervals of one kind, or of the claims at one rate."""

    better: list[bool] = field(default_factory=list)
    worse: list[bool] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    refused: int = 0

    def interval(self, bounds: object, truth: float) -> None:
        """Count an interval of an error rate; one that cannot be stated is not counted."""
        if isinstance(bounds, Interval):
            self.better.append(truth < bounds.low)
            self.worse.append(truth > bounds.high)

    def claim(self, ratio: float | None) -> None:
        """Count a claim with its true rate / claimed rate, or a refusal if it is None."""
        if ratio is None:
            self.refused += 1
        else:
            self.ratios.append(ratio)

    def coverage(self) -> str:
        """State the share of intervals that contain the true rate, and the share whose true rate is worse, in %."""
        if not self.better:
            return "-"
        better, worse = 100 * np.mean(self.better), 100 * np.mean(self.worse)
        return f"{100 - better - worse:.1f} ({worse:.1f})"

    def claims(self) -> str:
        """State the mean of true rate / claim, the share above 1, the 95th percentile, and the share of refusals."""
        total = len(self.ratios) + self.refused
        if not self.ratios:
            return "all refused" if total else "-"
        values = np.array(self.ratios)
        return (
            f"{values.mean():.2f}, {100 * (values > 1).mean():.0f} %, {np.quantile(values, 0.95):.2f},"
            f" {100 * self.refused / total:.0f} %"
        )


@dataclass
class IntervalTallies:
    """Tallies of the figures at one FPIR: FPIR and FNIR of the measured point, FNIR of the row, rank 1, the claim."""

    fpir: Tally = field(default_factory=Tally)
    fnir: Tally = field(default_factory=Tally)
    row: Tally = field(default_factory=Tally)
    first: Tally = field(default_factory=Tally)
    claim: Tally = field(default_factory=Tally)


@dataclass
class DoorTallies:
    """Tallies of one gallery size and FPIR: true FPIR at the threshold of the claim and at the measured point."""

    gallery: tuple[int, int]
    fpir: float
    claim: Tally = field(default_factory=Tally)
    measured: Tally = field(default_factory=Tally)


def draw_searches(
    population: Population, generator: np.random.Generator, *, subjects: int, enrolled: int, templates: int
) -> SearchScores:
    """Draw subjects, enrol the first of them, and search all other images.

    An enrolled subject has one or more images besides its templates.
    """
    images = population.image_counts(generator, subjects)
    images[:enrolled] += templates - 1
    vectors, owners = population.draw(generator, subjects, images)
    number = np.arange(owners.size) - np.repeat(np.cumsum(images) - images, images)
    template = (owners < enrolled) & (number < templates)
    labels = np.char.mod("%05d", owners)
    return search(
        vectors[template], labels[template].tolist(), vectors[~template], labels[~template].tolist()
    )


def measure_intervals(
    population: Population,
    truth: Truth,
    *,
    subjects: int,
    enrolled: int,
    templates: int,
    draws: int,
    fpirs: tuple[float, ...] = FPIRS,
) -> dict[float, IntervalTallies]:
    """Compare intervals and claims of drawn data sets with the true rates."""
    tallies = {fpir: IntervalTallies() for fpir in fpirs}
    for seed in range(draws):
        generator = np.random.default_rng([subjects, templates, seed])
        scores = draw_searches(
            population, generator, subjects=subjects, enrolled=enrolled, templates=templates
        )
        ranks = rank_shares(scores, (1,))
        for fpir, tally in tallies.items():
            if isinstance(ranks, tuple):
                shares = ranks[0].interval
                missed = replace(shares, low=1.0 - shares.high, high=1.0 - shares.low)
                tally.first.interval(missed, 1.0 - truth.own.size / truth.mated)
            point = point_at_fpir(scores, fpir)
            if not isinstance(point, IdentificationPoint):
                continue
            measured = point.measured
            tally.fpir.interval(measured.fpir_interval, truth.fpir(measured.threshold))
            tally.fnir.interval(measured.fnir_interval, truth.fnir(truth.threshold(fpir)))
            tally.row.interval(point.fnir_interval, truth.fnir(point.threshold))
            tally.claim.claim(truth.fpir(point.threshold) / fpir if point.claim else None)
    return tallies


def measure_doors(
    population: Population,
    truths: Sequence[Truth],
    *,
    subjects: int,
    galleries: Sequence[tuple[int, int]],
    draws: int,
    fpirs: tuple[float, ...] = (0.1, 0.01),
) -> list[DoorTallies]:
    """Compute the true FPIR of galleries (subjects, templates of each) at thresholds from drawn 1:1 data sets."""
    rows = [DoorTallies(gallery, fpir) for gallery in galleries for fpir in fpirs]
    known = [truth for truth in truths for _ in fpirs]
    fmrs = [fmr_for_fpir(row.fpir, references=row.gallery[0] * row.gallery[1]) for row in rows]
    for seed in range(draws):
        vectors, owners = population.draw(np.random.default_rng([subjects, 9, seed]), subjects)
        comparisons = AllPairs(vectors, np.char.mod("%05d", owners).tolist())
        points = operating_points(
            comparisons, comparisons.scores(), data_set="drawn", data_digest="0" * 64, fmrs=fmrs
        )
        for row, truth, point in zip(rows, known, points, strict=True):
            if not isinstance(point, OperatingPointEvidence):
                row.claim.claim(None)
                continue
            row.measured.claim(truth.fpir(point.measured.threshold) / row.fpir)
            row.claim.claim(truth.fpir(point.threshold) / row.fpir if point.claim else None)
    return rows


def intervals(options: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the table of intervals and claims."""
    yield (
        "| population | subjects, templates | FPIR | interval of FPIR | of FNIR at FPIR | of FNIR | of rank 1"
        " | claim: true / claimed FPIR |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name in options.population:
        for subjects in options.subjects:
            for templates in options.templates:
                truth = Truth.of(_BY_NAME[name], enrolled=subjects // 2, templates=templates)
                tallies = measure_intervals(
                    _BY_NAME[name],
                    truth,
                    subjects=subjects,
                    enrolled=subjects // 2,
                    templates=templates,
                    draws=options.draws,
                )
                for fpir, tally in tallies.items():
                    kinds = (tally.fpir, tally.fnir, tally.row, tally.first)
                    cells = " | ".join(kind.coverage() for kind in kinds)
                    yield f"| {name} | {subjects}, {templates} | {fpir:g} | {cells} | {tally.claim.claims()} |"


def doors(options: argparse.Namespace) -> Iterator[str]:
    """Yield the rows of the table of true FPIR at thresholds from the claims of cards."""
    yield "| population | subjects of the card | gallery | FPIR | claim: true / allowed FPIR | measured point |"
    yield "|---|---|---|---|---|---|"
    for name in options.population:
        galleries = [(size, templates) for size in (10, 50) for templates in options.templates]
        truths = [Truth.of(_BY_NAME[name], enrolled=size, templates=k) for size, k in galleries]
        for subjects in options.subjects:
            for row in measure_doors(
                _BY_NAME[name], truths, subjects=subjects, galleries=galleries, draws=options.draws
            ):
                size, templates = row.gallery
                yield (
                    f"| {name} | {subjects} | {size} x {templates} | {row.fpir:g} | {row.claim.claims()}"
                    f" | {row.measured.claims()} |"
                )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=("intervals", "doors"))
    parser.add_argument("--population", nargs="+", default=["mild", "hard"], choices=sorted(_BY_NAME))
    parser.add_argument(
        "--subjects", nargs="+", type=int, help="subjects of a draw (default: 20 76 300; 300 for doors)"
    )
    parser.add_argument(
        "--templates", nargs="+", type=int, default=[1, 3], help="templates of an enrolled subject"
    )
    parser.add_argument("--draws", type=int, default=400, help="data sets per row (default: 400)")
    options = parser.parse_args()
    if options.subjects is None:
        options.subjects = [20, 76, 300] if options.table == "intervals" else [300]
    for row in (intervals if options.table == "intervals" else doors)(options):
        print(row, flush=True)


if __name__ == "__main__":
    main()
