"""The CSV file of covariates: accepted forms and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.evaluate.runner import group_lists
from converters.evaluate.runner.group_lists import read_groups
from edge_sdk.errors import InputError


def written(folder: Path, text: str) -> Path:
    path = folder / "groups.csv"
    path.write_bytes(text.encode())
    return path


def test_a_row_gives_the_covariates_of_a_subject(tmp_path: Path) -> None:
    covariates = read_groups(
        written(tmp_path, '\ufeffsubject,age,camera\r\nalice, 18-39 ,"hall, left"\r\n\r\nbob,40+,door\r\n')
    )
    assert covariates.covariates == ("age", "camera")
    assert covariates.rows == {"alice": ("18-39", "hall, left"), "bob": ("40+", "door")}
    assert not covariates.of_images
    assert covariates.name == "groups.csv" and len(covariates.digest) == 64


def test_rows_may_describe_images(tmp_path: Path) -> None:
    covariates = read_groups(written(tmp_path, "image,glasses\nalice/1.jpg,yes\nalice/2.jpg,no\n"))
    assert covariates.of_images
    assert covariates.rows["alice/2.jpg"] == ("no",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected a header line .*, found an empty line"),
        ("alice,dark\nbob,bright\n", "line 1: expected a header line .*, found 'alice,dark'"),
        ("subject\nalice\n", r"line 1: expected 1\.\.16 covariates, found 0"),
        ("subject,age,age\n", "line 1: expected each covariate once, found age, age"),
        ("subject,age,\n", "line 1: expected the name of a covariate, found an empty value"),
        ("subject,age\nalice,1\nalice,2\n", "line 3: expected each subject once, found alice again"),
        ("subject,age\nalice,\n", "line 2: expected a value of age, found an empty value"),
        ("subject,age\nalice\n", "line 2: expected 2 values, found 1"),
        ("subject,age\n,young\n", "line 2: expected a subject, found ''"),
        ("image,age\nalice,young\n", "line 2: expected subject/file, found 'alice'"),
        (
            "subject,age\nalice,a\x1b[2J\n",
            "line 2: expected a value of age of at most 60 printable characters",
        ),
        (f"subject,age\nalice,{'x' * 61}\n", "line 2: expected a value of age of at most 60"),
        ('subject,age\nalice,"a"b\n', "expected comma-separated values"),
    ],
)
def test_bad_rows_are_refused_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_groups(written(tmp_path, text))


def test_semicolons_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found semicolons in 'subject;age'") as refusal:
        read_groups(written(tmp_path, "subject;age\nalice;young\n"))
    assert refusal.value.hint == "separate the values with commas, not with semicolons"


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_groups(tmp_path / "none.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"subject,age\n\xff\xfe,1\n")
    with pytest.raises(InputError, match=r"expected UTF-8 text in .*, found byte 12"):
        read_groups(binary)
    monkeypatch.setattr(group_lists, "MAX_BYTES", 20)
    with pytest.raises(InputError, match="at most 20 bytes"):
        read_groups(written(tmp_path, "subject,age\nalice,young\n"))
