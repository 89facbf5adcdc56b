"""Format the comparison of groups as lines for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.group_evidence import (
    FNMR_TEST,
    CovariateEvidence,
    GroupChange,
    GroupChanges,
    GroupPoint,
    GroupRates,
    GroupsEvidence,
    GroupTest,
    SmallGroup,
    WorstGroupThreshold,
    claim_figure,
)
from converters.evaluate.metrics.groups import LEVEL
from converters.number_format import count, fixed_percent, percent_range

#: Number of groups that a line about small groups names.
MAX_NAMES_SHOWN = 8
#: Number of pairs of groups up to which each pair has a line.
MAX_PAIRS_SHOWN = 6
# Sentences are wrapped at this width.
_WIDTH = 110
#: How to read the intervals of the changes of groups.
CHANGES_NOTE = (
    "the changes of groups are counted, not smoothed: a group of few subjects has a wide interval, also if no",
    "decision in it changed; the difference of TAR of all subjects above is known better",
)


def groups_lines(evidence: GroupsEvidence) -> list[str]:
    """Format the error rates of all covariates, one block per covariate."""
    kind = "images" if evidence.of_images else "subjects"
    lines = [
        f"groups of {evidence.file}, labels as given by the user; {evidence.tests} tests, level {LEVEL:g}"
    ]
    if evidence.without_row:
        lines.append(
            f"{evidence.without_row} {kind} without a row, in no group: "
            + ", ".join(evidence.without_row_names)
        )
    for covariate in evidence.covariates:
        lines += ["", *_covariate_lines(covariate)]
    return lines


def changes_lines(rows: Sequence[GroupChanges]) -> list[str]:
    """Format the changes from the float file, one block per covariate and FMR."""
    lines: list[str] = []
    for row in rows:
        lines += [
            *([""] if lines else []),
            f"change of each group of {row.covariate} from float at FMR {row.target_fmr:g}, each file at its measured"
            " threshold",
            f"  ({row.baseline_threshold:.4f} and {row.candidate_threshold:.4f}, not the threshold of a claim);"
            " intervals of all groups hold together",
            f"  {'group':<16}  {'FNMR float':>10}  {'this':>8}  {'change':>7}  {'interval':<17}  FMR this / float",
            *(f"  {_change_line(change)}" for change in row.changes),
            *(f"  {sentence}" for sentence in change_verdicts(row.changes)),
        ]
    if lines:
        lines += ["", *CHANGES_NOTE]
    return lines


def differing(test: GroupTest) -> str:
    """Format a test that found a difference as one sentence."""
    direction = "higher" if test.value > test.others else "lower"
    return (
        f"{test.group}: {test.rate} {direction} than in the other groups, {_rate(test.value, test.rate)} against"
        f" {_rate(test.others, test.rate)} ({mean_over(test)}; adjusted p {p_value(test.adjusted)})"
    )


def mean_over(test: GroupTest) -> str:
    """Name the units that weigh alike in the rates of a test."""
    return "means over pairs of subjects" if test.rate == "FMR" else "means over subjects"


def p_value(value: float) -> str:
    """Format a p-value with two digits, and very small ones as a bound."""
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _covariate_lines(covariate: CovariateEvidence) -> list[str]:
    lines = [f"{covariate.covariate}: {', '.join(covariate.groups)}"]
    for point in covariate.points:
        lines += _point_lines(point, covariate.small)
    flagged = covariate.flagged()
    lines += [f"  at FMR {fmr:g}, {differing(test)}" for fmr, test in flagged]
    if not any(point.tests for point in covariate.points):
        lines.append("  no test: fewer than two groups have enough subjects")
    elif not flagged:
        lines.append(
            "  no group differs by more than chance explains; this is no proof that they are equal: read the intervals"
        )
    for sentence in small_groups(covariate.small):
        lines += textwrap.wrap(sentence, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def small_groups(small: Sequence[SmallGroup]) -> list[str]:
    """Name the groups that are too small for a figure, one sentence per figure."""
    figures: dict[tuple[str, int], list[SmallGroup]] = {}
    for row in small:
        figures.setdefault((row.figure, row.needed), []).append(row)
    sentences = []
    for (figure, needed), rows in figures.items():
        unit = "subjects with two or more images" if figure == FNMR_TEST else "subjects"
        groups = ", ".join(f"{row.group} has {row.subjects}" for row in rows[:MAX_NAMES_SHOWN])
        more = len(rows) - MAX_NAMES_SHOWN
        further = f", and {count(more, 'more group')} with too few" if more > 0 else ""
        sentences.append(f"{figure} needs at least {needed} {unit} in the group: {groups}{further}")
    return sentences


def _point_lines(point: GroupPoint, small: Sequence[SmallGroup]) -> list[str]:
    width = max(16, *(len(row.first) for row in point.within))
    lines = [
        f"  at FMR {point.target_fmr:g} of all groups, threshold {point.threshold:.4f} (the claim's, or the measured one without a claim)",
        f"    {'within group':<{width}}  {'subjects':>8}  {'FMR':>8}  {'95 % interval':<18}"
        f"  {'2+ images':>9}  {'FNMR':>8}  95 % interval",
        *(f"    {_rates_line(row.first, row, width)}" for row in point.within),
    ]
    lines += _across_lines([row for row in point.across if row.fmr is not None], width)
    for rate, ratio in (("FMR", point.fmr_max_to_mean), ("FNMR", point.fnmr_max_to_mean)):
        if ratio is not None:
            lines.append(f"    highest {rate} / geometric mean of the groups: {ratio:.2f}")
    worst = point.worst_group
    if isinstance(worst, Unsupported):
        lines.append(f"    no worst-group threshold: {worst.reason}")
        return lines
    cost = ""
    if worst.tar_before is not None and worst.tar_after is not None:
        cost = f"; TAR {fixed_percent(worst.tar_before)} -> {fixed_percent(worst.tar_after)}"
    lines.append(
        f"    worst-group threshold {worst.threshold:.4f} keeps FMR {point.target_fmr:g} within"
        f" {', '.join(name for name, _ in worst.thresholds)}{cost}"
    )
    for sentence in unclaimed(worst, point.target_fmr, small):
        lines += textwrap.wrap(sentence, _WIDTH, initial_indent="      ", subsequent_indent="        ")
    return lines


def unclaimed(worst: WorstGroupThreshold, fmr: float, small: Sequence[SmallGroup]) -> list[str]:
    """Name the groups without a claim: together if they have too few subjects, otherwise each with its reason."""
    few = {row.group for row in small if row.figure == claim_figure(fmr)}
    names = [name for name, _ in worst.without_claim if name in few]
    sentences = [f"no claim for {name}: {reason}" for name, reason in worst.without_claim if name not in few]
    if names:
        further = len(names) - MAX_NAMES_SHOWN
        more = f" and {count(further, 'more group')}" if further > 0 else ""
        shown = ", ".join(names[:MAX_NAMES_SHOWN])
        sentences.insert(0, f"no claim for {shown}{more}: too few subjects in the group")
    return sentences


def _across_lines(rows: Sequence[GroupRates], width: int) -> list[str]:
    """Format the rates across groups; of many pairs only the one with the highest FMR."""
    if not rows:
        return []
    heading, shown = "    across groups", rows
    if len(rows) > MAX_PAIRS_SHOWN:
        shown = [max(rows, key=lambda row: row.fmr or 0.0)]
        heading = f"    across groups, the highest FMR of {len(rows)} pairs (--json lists all)"
    return [heading, *(f"    {_rates_line(f'{row.first} - {row.second}', row, width)}" for row in shown)]


def _rates_line(name: str, row: GroupRates, width: int) -> str:
    fmr = "-" if row.fmr is None else f"{row.fmr:.2e}"
    limits = "-" if row.fmr_interval is None else _limits(row.fmr_interval)
    fnmr = "-" if row.fnmr is None else fixed_percent(row.fnmr)
    return (
        f"{name:<{width}}  {row.subjects:>8}  {fmr:>8}  {limits:<18}  {row.mated_subjects:>9}  {fnmr:>8}"
        f"  {_percent(row.fnmr_interval)}"
    )


def _limits(interval: Interval) -> str:
    """Format an interval of the FMR with two digits; a limit below 1e-9 is 0, because no data can support it."""
    low, high = (
        "0" if limit < 1e-9 else "1" if limit >= 0.995 else f"{limit:.1e}"
        for limit in (interval.low, interval.high)
    )
    return f"{low} .. {high}"


def _change_line(change: GroupChange) -> str:
    if change.baseline_fnmr is None or change.candidate_fnmr is None or change.fnmr_change is None:
        rates = f"{'-':>10}  {'-':>8}  {'-':>7}  {'-':<17}"
    else:
        rates = (
            f"{fixed_percent(change.baseline_fnmr):>10}  {fixed_percent(change.candidate_fnmr):>8}"
            f"  {100 * change.fnmr_change:>+7.2f}  {_percent(change.fnmr_interval, signed=True):<17}"
        )
    matches = f"{change.candidate_matches} / {change.baseline_matches} false matches"
    if change.fmr_ratio is None or change.fmr_interval is None:
        return f"{change.group:<16}  {rates}  - ({matches})"
    low, high = change.fmr_interval.low, change.fmr_interval.high
    return f"{change.group:<16}  {rates}  {change.fmr_ratio:.2f} ({low:.2f} .. {high:.2f}; {matches})"


def change_verdicts(changes: Sequence[GroupChange]) -> list[str]:
    """Describe which groups change more than the others, one sentence each."""
    differing_groups = [change for change in changes if change.differs]
    if differing_groups:
        return [
            f"{change.group}: the change differs from that of the other groups (adjusted p:"
            f" FNMR {_optional(change.adjusted_fnmr)}, FMR {_optional(change.adjusted_fmr)})"
            for change in differing_groups
        ]
    if all(change.adjusted_fnmr is None and change.adjusted_fmr is None for change in changes):
        return ["no test: a group and the others need 10 subjects each"]
    return ["no group changes more than the others beyond chance; the intervals limit what may be hidden"]


def _optional(value: float | None) -> str:
    return "not tested" if value is None else p_value(value)


def _percent(interval: Interval | None, *, signed: bool = False) -> str:
    return "-" if interval is None else percent_range(interval.low, interval.high, plus=signed)


def _rate(value: float, rate: str) -> str:
    return f"{value:.2e}" if rate == "FMR" else fixed_percent(value)
