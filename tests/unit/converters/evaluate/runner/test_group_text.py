"""Text of the comparison of groups."""

from __future__ import annotations

from converters.evaluate.metrics.evidence import Interval
from converters.evaluate.metrics.group_evidence import (
    FNMR_TEST,
    CovariateEvidence,
    GroupPoint,
    GroupRates,
    GroupsEvidence,
    SmallGroup,
    WorstGroupThreshold,
)
from converters.evaluate.runner.group_text import groups_lines, small_groups


def rates(group: str) -> GroupRates:
    wide = Interval(2.34e-15, 1.0, 0.95, 0, "")
    share = Interval(0.0, 0.5271, 0.95, 0, "")
    return GroupRates(group, group, 24, 1.05e-2, 3, 300, 200.0, wide, 0.0, 0.0, 0, 12, 4, share)


def lines_of(groups: tuple[str, ...]) -> list[str]:
    small = tuple(
        row
        for group in groups
        for row in (SmallGroup(group, 4, 10, FNMR_TEST), SmallGroup(group, 24, 25, "the claim FMR 0.01"))
    )
    without = tuple((group, "FMR 0.01 needs 25 subjects, found 24") for group in groups)
    worst = WorstGroupThreshold(
        0.5, "day", (("day", 0.5),), (*without, ("hall", "another reason")), None, None
    )
    point = GroupPoint(1e-2, 0.5, tuple(map(rates, groups)), (), (), None, None, worst)
    covariate = CovariateEvidence("room", groups, (1,) * len(groups), (point,), small)
    return groups_lines(GroupsEvidence("g.csv", "", False, 0, (), 0, (covariate,)))


def test_the_rates_name_the_subjects_of_each_rate_and_no_meaningless_digits() -> None:
    lines = lines_of(("lab",))
    heading = next(line for line in lines if "within group" in line)
    row = next(line for line in lines if line.startswith("    lab"))
    assert heading.split()[-6:] == ["2+", "images", "FNMR", "95", "%", "interval"]
    assert row.split() == ["lab", "24", "1.05e-02", "0", "..", "1", "4", "0.00", "%", "0.00", "..", "52.71"]


def test_twenty_small_groups_give_a_few_lines() -> None:
    groups = tuple(f"g{number:02}" for number in range(20))
    lines = lines_of(groups)
    text = " ".join(" ".join(lines).split())
    assert (
        "a test of the FNMR needs at least 10 subjects with two or more images in the group: g00 has 4, "
        in text
    )
    assert "g07 has 4, and 12 more groups with too few" in text
    assert "the claim FMR 0.01 needs at least 25 subjects in the group: g00 has 24, " in text
    assert "g07 and 12 more groups: too few subjects in the group" in text
    assert "no claim for hall: another reason" in text
    assert len(lines) < 20 + 20 and all(len(line) <= 110 for line in lines)


def test_one_small_group_more_is_singular() -> None:
    rows = [SmallGroup(f"g{number}", 3, 10, FNMR_TEST) for number in range(9)]
    assert small_groups(rows)[0].endswith("g7 has 3, and 1 more group with too few")
