"""Pairs files and open-set lists: read strictly, matched with what was embedded."""

from pathlib import Path

import numpy as np
import pytest

from converters.evaluate.metrics.protocols import (
    match_pairs,
    read_open_set,
    read_pairs,
    search_open_set,
    split_open_set,
)
from converters.evaluate.metrics.samples import EmbeddedSamples
from edge_sdk.errors import InputError

PAIRS = "2\nanna\t1\t2\nben\t1\t3\nanna\t1\tben\t1\nanna\t2\tcarl\t1\n"
NAMES = ("anna/anna_0001.jpg", "anna/anna_0002.jpg", "ben/ben_0001.png", "carl/carl_0001.jpg")


def embedded(names: tuple[str, ...] = NAMES, failures: tuple[tuple[str, str], ...] = ()) -> EmbeddedSamples:
    drawn = np.random.default_rng(0).normal(size=(len(names), 4))
    vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return EmbeddedSamples("set", "0", names, tuple(n.split("/")[0] for n in names), vectors, failures)


def written(path: Path, text: str) -> Path:
    (path / "pairs.txt").write_text(text, encoding="utf-8", newline="")
    return path / "pairs.txt"


def test_pairs_in_order(tmp_path: Path) -> None:
    found = read_pairs(written(tmp_path, PAIRS))
    assert [pair.mated for pair in found.pairs] == [True, True, False, False]
    assert found.pairs[1].second == ("ben", 3)
    assert found.pairs == read_pairs(written(tmp_path, PAIRS.replace("\n", "\r\n") + "\r\n")).pairs


def test_folds(tmp_path: Path) -> None:
    body = "anna\t1\t2\nanna\t1\tben\t1\n"
    found = read_pairs(written(tmp_path, "3\t1\n" + body * 3))
    assert [pair.fold for pair in found.pairs] == [0, 0, 1, 1, 2, 2]
    assert [pair.mated for pair in found.pairs] == [True, False] * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected the number of pairs"),
        ("two\n", "line 1: .*found 'two'"),
        ("2\t2\t2\n", "line 1"),
        ("9999999\n", "line 1: expected up to"),
        (PAIRS.replace("2\n", "3\n", 1), "expected 6 pairs after the first line.*found 4"),
        (PAIRS.replace("ben\t1\t3", "ben\t1"), "line 3: expected a mated pair.*found 'ben\\\\t1'"),
        (PAIRS.replace("ben\t1\t3", "ben\t1\tanna\t2"), "line 3: expected a mated pair"),
        (PAIRS.replace("ben\t1\t3", "ben 1 3"), "line 3: expected a mated pair"),
        (PAIRS.replace("ben\t1\t3", "ben\t1\t0"), "line 3"),
        (PAIRS.replace("ben\t1\t3", "ben\t1\t-3"), "line 3"),
        (PAIRS.replace("ben\t1\t3", "ben\t1\tx"), "line 3"),
        (PAIRS.replace("ben\t1\t3", "ben\t3\t3"), "line 3: .*with itself"),
        (PAIRS.replace("ben\t1\t3\n", "\n"), "line 3"),
        (
            PAIRS.replace("anna\t2\tcarl\t1", "anna\t2\tanna\t1"),
            "line 5: expected a non-mated pair.*anna twice",
        ),
        (PAIRS.replace("anna\t2\tcarl\t1", "anna\t2\t1"), "line 5: expected a non-mated pair"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(
        InputError, match=r"pairs\.txt, " + ("" if said.startswith("line") else ".*") + said
    ) as caught:
        read_pairs(written(tmp_path, text))
    assert caught.value.hint


def test_unreadable_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="readable"):
        read_pairs(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_pairs(tmp_path / "binary.txt")


def test_missing_images_take_their_comparisons_away(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, PAIRS))
    listed, lost = match_pairs(pairs, embedded(failures=(("ben/ben_0003.png", "no face"),)))
    assert (lost.attempts, lost.failures) == (4, 1)
    assert lost.first_names == ("ben/ben_0003: no face",)
    assert list(zip(listed.first.tolist(), listed.second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 3)]
    _, lost = match_pairs(pairs, embedded(NAMES[:3]))
    assert (lost.failures, lost.first_names[1]) == (2, "carl/carl_0001: not among the images")


def test_no_image_at_all_is_an_error(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, PAIRS))
    with pytest.raises(InputError, match="none of its 4 comparisons"):
        match_pairs(pairs, embedded(("dora/dora_0001.jpg",)))
    with pytest.raises(InputError, match="two with other suffixes"):
        match_pairs(pairs, embedded(("anna/anna_0001.jpg", "anna/anna_0001.png")))


def test_open_set_list(tmp_path: Path) -> None:
    text = "enrol\tanna/anna_0001.jpg\nenrol\tben/gone.png\nprobe\tanna/anna_0002.jpg\nprobe\tcarl/carl_0001.jpg\n"
    listed = read_open_set(written(tmp_path, text + "probe\tben/ben_0001.png\nprobe\tanna/lost.jpg\n"))
    scores, acquired = search_open_set(listed, embedded())
    assert (acquired.attempts, acquired.failures) == (6, 2)
    assert acquired.first_names == (
        "ben/gone.png: not among the images",
        "anna/lost.jpg: not among the images",
    )
    assert scores.mated_scores.size == 3  # anna found or not, ben not enrolled, anna's lost probe
    assert (scores.failures, scores.non_mated_tops.size, scores.references) == (2, 1, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("enrol\ta/b\nsearch\tc/d\n", "line 2: expected enrol or probe"),
        ("enrol\tab\n", "line 1"),
        ("enrol\ta/b\nprobe\ta/b\n", "line 2: expected each sample once"),
        ("enrol\ta/b\n", "samples to probe, found 1 and 0"),
        ("", "found 0 and 0"),
    ],
)
def test_bad_open_set_lists(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_open_set(written(tmp_path, text))


def test_drawn_open_set() -> None:
    names = [f"s{k:02d}/{j}.jpg" for k in range(20) for j in range(1 + k % 3)]
    subjects = [name.split("/")[0] for name in names]
    found = split_open_set(names, subjects, seed=3)
    enrolled = {name.split("/")[0] for name in found.enrolled}
    assert len(found.enrolled) == len(enrolled) == 6  # half of the 13 with two samples or more
    assert all(name.endswith("/0.jpg") for name in found.enrolled)
    assert sorted(found.enrolled + found.probes) == sorted(names)
    assert found == split_open_set(names[::-1], subjects[::-1], seed=3)
    assert found != split_open_set(names, subjects, seed=4)
    with pytest.raises(InputError, match="more than 5 samples"):
        split_open_set(names, subjects, references=5)
    with pytest.raises(InputError, match="share"):
        split_open_set(names, subjects, enrolled_share=0.0)


def test_nobody_enrolled_is_an_error() -> None:
    listed = split_open_set(["anna/a.jpg", "anna/b.jpg"], ["anna", "anna"], enrolled_share=1.0)
    with pytest.raises(InputError, match="none to enrol"):
        search_open_set(listed, embedded())
