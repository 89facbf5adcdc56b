"""Pairs and open-set lists, matched with embedded images."""

import numpy as np
import pytest

from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.protocols import (
    ListedPair,
    OpenSetList,
    PairsList,
    match_pairs,
    search_open_set,
    split_open_set,
)
from edge_sdk.errors import InputError
from tests.drawn_embeddings import unit_rows

PAIRS = PairsList(
    "pairs.txt",
    "0",
    (
        ListedPair(("anna", 1), ("anna", 2), 0),
        ListedPair(("ben", 1), ("ben", 3), 0),
        ListedPair(("anna", 1), ("ben", 1), 0),
        ListedPair(("anna", 2), ("carl", 1), 0),
    ),
)
NAMES = ("anna/anna_0001.jpg", "anna/anna_0002.jpg", "ben/ben_0001.png", "carl/carl_0001.jpg")


def embedded(names: tuple[str, ...] = NAMES, failures: tuple[tuple[str, str], ...] = ()) -> EmbeddedSamples:
    drawn = np.random.default_rng(0).normal(size=(len(names), 4))
    vectors = unit_rows(drawn)
    return EmbeddedSamples("set", "0", names, tuple(n.split("/")[0] for n in names), vectors, failures)


def test_comparisons_with_missing_images_are_counted_as_lost() -> None:
    listed, lost = match_pairs(PAIRS, embedded(failures=(("ben/ben_0003.png", "no face"),)))
    assert (lost.attempts, lost.failures) == (4, 1)
    assert lost.first_names == ("ben/ben_0003: no face",)
    assert list(zip(listed.first.tolist(), listed.second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3)]
    _, lost = match_pairs(PAIRS, embedded(NAMES[:3]))
    assert (lost.failures, lost.first_names[1]) == (2, "carl/carl_0001: not among the images")


def test_no_matching_image_is_an_error() -> None:
    with pytest.raises(InputError, match="none of its 4 comparisons"):
        match_pairs(PAIRS, embedded(("dora/dora_0001.jpg",)))
    with pytest.raises(InputError, match="two with different suffixes"):
        match_pairs(PAIRS, embedded(("anna/anna_0001.jpg", "anna/anna_0001.png")))


def test_open_set_search_counts_failures() -> None:
    probes = ("anna/anna_0002.jpg", "carl/carl_0001.jpg", "ben/ben_0001.png", "anna/lost.jpg")
    scores, acquired = search_open_set(
        OpenSetList(("anna/anna_0001.jpg", "ben/gone.png"), probes), embedded()
    )
    assert (acquired.attempts, acquired.failures) == (6, 2)
    assert acquired.first_names == (
        "ben/gone.png: not among the images",
        "anna/lost.jpg: not among the images",
    )
    # Mated probes: one of anna that is searched, one of ben, who failed to enrol, and anna's missing image.
    assert scores.mated_scores.size == 3
    assert (scores.failures, scores.non_mated_tops.size, scores.references) == (2, 1, 1)


def test_drawn_open_set() -> None:
    names = [f"s{k:02d}/{j}.jpg" for k in range(20) for j in range(1 + k % 3)]
    subjects = [name.split("/")[0] for name in names]
    listed = split_open_set(names, subjects, seed=3)
    enrolled = {name.split("/")[0] for name in listed.enrolled}
    assert len(listed.enrolled) == len(enrolled) == 6  # half of the 13 subjects with two samples or more
    assert all(name.endswith("/0.jpg") for name in listed.enrolled)
    assert sorted(listed.enrolled + listed.probes) == sorted(names)
    assert listed == split_open_set(names[::-1], subjects[::-1], seed=3)
    assert listed != split_open_set(names, subjects, seed=4)
    with pytest.raises(InputError, match="more than 5 samples"):
        split_open_set(names, subjects, references=5)
    with pytest.raises(InputError, match="share"):
        split_open_set(names, subjects, enrolled_share=0.0)


def test_an_empty_gallery_is_an_error() -> None:
    listed = split_open_set(["anna/a.jpg", "anna/b.jpg"], ["anna", "anna"], enrolled_share=1.0)
    with pytest.raises(InputError, match="none to enrol"):
        search_open_set(listed, embedded())
