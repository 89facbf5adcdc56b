"""Strict reading of pairs files and open-set lists."""

from pathlib import Path

import pytest

from converters.evaluate.runner.comparison_lists import read_open_set, read_pairs
from edge_sdk.errors import InputError

PAIRS = "2\nanna\t1\t2\nben\t1\t3\nanna\t1\tben\t1\nanna\t2\tcarl\t1\n"


def written(folder: Path, text: str) -> Path:
    (folder / "pairs.txt").write_text(text, encoding="utf-8", newline="")
    return folder / "pairs.txt"


def test_pairs_in_order(tmp_path: Path) -> None:
    listed = read_pairs(written(tmp_path, PAIRS))
    assert [pair.mated for pair in listed.pairs] == [True, True, False, False]
    assert listed.pairs[1].second == ("ben", 3)
    assert listed.pairs == read_pairs(written(tmp_path, PAIRS.replace("\n", "\r\n") + "\r\n")).pairs


def test_folds(tmp_path: Path) -> None:
    body = "anna\t1\t2\nanna\t1\tben\t1\n"
    listed = read_pairs(written(tmp_path, "3\t1\n" + body * 3))
    assert [pair.fold for pair in listed.pairs] == [0, 0, 1, 1, 2, 2]
    assert [pair.mated for pair in listed.pairs] == [True, False] * 3


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_a_bad_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    gap = "" if message.startswith("line") else ".*"
    with pytest.raises(InputError, match=r"pairs\.txt, " + gap + message) as caught:
        read_pairs(written(tmp_path, text))
    assert caught.value.hint


def test_unreadable_lists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        read_pairs(tmp_path / "binary.txt")


def test_open_set_list(tmp_path: Path) -> None:
    listed = read_open_set(written(tmp_path, "enrol\ta/1.jpg\nprobe\ta/2.jpg\nenrol\tb/1.jpg\n"))
    assert (listed.enrolled, listed.probes) == (("a/1.jpg", "b/1.jpg"), ("a/2.jpg",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("enrol\ta/b\nsearch\tc/d\n", "line 2: expected enrol or probe"),
        ("enrol\tab\n", "line 1"),
        ("enrol\ta/b\nprobe\ta/b\n", "line 2: expected each sample once"),
        ("enrol\ta/b\n", "samples to probe, found 1 and 0"),
        ("", "found 0 and 0"),
    ],
)
def test_bad_open_set_lists(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_open_set(written(tmp_path, text))
