"""Mutants that did not run, or that no test reaches, do not count as killed."""

import pytest

from tools.mutation_score import count_scores, reach_floor


def results(**statuses: int) -> list[str]:
    names = (status.replace("_", " ") for status, count in statuses.items() for _ in range(count))
    return [
        f"    edge_sdk.gallery.store.files.x__read__mutmut_{i}: {status}\n" for i, status in enumerate(names)
    ]


def test_a_mutant_that_never_ends_is_killed_and_an_untested_mutant_survived() -> None:
    score = count_scores(results(killed=3, timeout=1, survived=1, no_tests=1, suspicious=1))[
        "edge_sdk.gallery.store.files"
    ]
    assert (score.mutants, score.judged, score.killed) == (7, 7, 4)
    assert score.survivors == tuple(f"edge_sdk.gallery.store.files.x__read__mutmut_{i}" for i in (4, 5, 6))
    assert score.share == pytest.approx(4 / 7)


def test_every_module_must_be_judged_whole_and_reach_the_floor() -> None:
    good = results(killed=17, survived=3)
    assert reach_floor(count_scores(good))
    assert not reach_floor(count_scores(results(killed=16, survived=3)))
    assert not reach_floor(
        count_scores([*good, "    edge_sdk.gallery.format.header.x_parse__mutmut_1: survived\n"])
    )
    assert not reach_floor(
        count_scores([*good, "    edge_sdk.gallery.store.files.x_a__mutmut_1: not checked\n"])
    )
    assert not reach_floor(count_scores([]))
