"""Splits by subject: disjoint, reproducible, stable, large enough, and as the user states."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.data.samples import Sample, SampleSet
from edge_train.data.split import (
    LEAST,
    Split,
    read_parts,
    split_by,
    split_subjects,
    subjects_for,
    supported_fmr,
)
from edge_train.data.subjects import Subjects
from edge_train.errors import FolderError


def subjects(count: int, images: int = 4, extra: tuple[str, ...] = ()) -> Subjects:
    names = [*(f"s{number:04d}" for number in range(count)), *extra]
    samples = tuple(
        Sample(f"{name}/{number}.png", name) for name in sorted(names) for number in range(images)
    )
    return Subjects.of(SampleSet("drawn", samples, lambda sample: b""))


def parts(split: Split) -> dict[str, str]:
    return {name: part for part, names in split.to_json().items() for name in names}


@pytest.mark.parametrize("count", [20, 21, 30, 60, 100, 1000])
def test_parts_are_disjoint_complete_and_large_enough(count: int) -> None:
    for seed in range(20):
        split = split_subjects(subjects(count), seed=seed)
        sizes = {part: len(names) for part, names in split.to_json().items()}
        assert sum(sizes.values()) == len(parts(split)) == count
        assert all(sizes[part] >= LEAST[part] for part in LEAST)
        if count >= 100:
            assert sizes["evaluation"] >= 25
            assert split.supported_fmr <= 1e-2
            assert len(split.calibration.flat) >= min(200, 0.2 * count * 4)
            assert sizes["train"] >= 0.45 * count


def test_shares_are_close_for_many_subjects() -> None:
    split = split_subjects(subjects(5000), seed=3)
    sizes = [len(names) / 5000 for names in split.to_json().values()]
    assert sizes == pytest.approx([0.7, 0.1, 0.2], abs=0.02)
    other = split_subjects(subjects(5000), seed=3, shares=(0.5, 0.2, 0.3))
    assert [len(names) / 5000 for names in other.to_json().values()] == pytest.approx(
        [0.5, 0.2, 0.3], abs=0.02
    )


def test_the_seed_decides() -> None:
    first = parts(split_subjects(subjects(200), seed=1))
    assert first == parts(split_subjects(subjects(200), seed=1))
    assert first != parts(split_subjects(subjects(200), seed=2))


@pytest.mark.parametrize(("count", "moved"), [(25, 3), (100, 3), (2000, 0)])
def test_a_new_subject_moves_few_others(count: int, moved: int) -> None:
    before = parts(split_subjects(subjects(count), seed=4))
    for name in ("added", "zebra", "a0", "m17"):
        after = parts(split_subjects(subjects(count, extra=(name,)), seed=4))
        assert sum(after[subject] != part for subject, part in before.items()) <= moved


def test_groups_stay_on_one_side() -> None:
    groups = [("s0001", "s0002", "s0003"), ("s0010", "s0020"), ("s0030", "unknown")]
    for seed in range(30):
        of = parts(split_subjects(subjects(100), seed=seed, together=groups))
        assert of["s0001"] == of["s0002"] == of["s0003"]
        assert of["s0010"] == of["s0020"]
    large = [tuple(f"s{number:04d}" for number in range(40))]
    of = parts(split_subjects(subjects(100), seed=0, together=large))
    assert {of[name] for name in large[0]} == {"train"}
    with pytest.raises(FolderError, match="found 95, 0 and 5") as error:
        split_subjects(subjects(100), seed=0, together=[tuple(f"s{number:04d}" for number in range(95))])
    assert "look-alikes" in str(error.value.hint)


def test_too_few_subjects_or_bad_shares_are_refused() -> None:
    with pytest.raises(FolderError, match=r"at least 20 subjects.*found 19") as error:
        split_subjects(subjects(19), seed=0)
    assert "84" in str(error.value.hint)
    for shares in ((0.7, 0.2, 0.2), (1.0, 0.0, 0.0)):
        with pytest.raises(FolderError, match="three shares"):
            split_subjects(subjects(50), seed=0, shares=shares)


def test_supported_fmr_follows_the_rule_of_three() -> None:
    assert supported_fmr(9) == 1.0
    assert supported_fmr(10) == pytest.approx(0.1)
    assert supported_fmr(24) == pytest.approx(0.1)
    assert supported_fmr(25) == pytest.approx(0.01)
    assert supported_fmr(78) == pytest.approx(1e-3)
    assert [subjects_for(fmr) for fmr in (1e-1, 1e-2, 1e-3)] == [20, 84, 390]
    for total, least in ((20, 10), (84, 25)):
        assert len(split_subjects(subjects(total), seed=3).evaluation.names) >= least


def test_a_list_of_the_user_is_kept(tmp_path: Path) -> None:
    everyone = subjects(24)
    lines = [
        f"{name},{('train', 'calibration', 'evaluation')[place % 3 if place < 6 else 2 * (place % 2)]}"
        for place, name in enumerate(everyone.names)
    ]
    path = tmp_path / "split.csv"
    path.write_text("subject,part\n" + "\n".join([*lines, "absent,train"]) + "\n")
    split = split_by(everyone, read_parts(path))
    assert f"{split.train.names[0]},train" in lines
    assert sum(len(names) for names in split.to_json().values()) == 24
    path.write_text("subject,part\n" + "\n".join(lines[1:]))
    with pytest.raises(FolderError, match="none for 1 subject, such as 's0000'"):
        split_by(everyone, read_parts(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,part\na,train\n", "columns subject and part, found name, part"),
        ("", "columns subject and part, found none"),
        (
            "subject,part\na,train\na,evaluation\n",
            "line 3: expected one part for 'a', found train and evaluation",
        ),
        ("subject,part\na,test\n", "line 2: .*found 'a', 'test'"),
        ("subject,part\na\n", "line 2"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(FolderError, match=message):
        read_parts(path)
    with pytest.raises(FolderError, match="cannot be read"):
        read_parts(tmp_path / "missing.csv")
