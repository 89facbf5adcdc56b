"""Lines of a command for its stages if stderr is no terminal; a program that uses the library gets none."""

from __future__ import annotations

import re
import time

import pytest

from converters import progress
from converters.progress import logged_stages, stage

LINE = r"edge-convert: \[\d+ s\] {}: \d+\.\d s\n"


def test_a_command_prints_a_line_for_each_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with logged_stages("edge-convert"):
        with stage("calibrate") as update:
            update(1, 2)
        with stage("two\nlines"):
            pass
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(LINE.format("calibrate") + LINE.format("two.+lines"), err)


def test_a_library_user_gets_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("calibrate") as update:
        update(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_failed_stage_is_not_reported_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="wrong"), logged_stages("edge-convert"), stage("calibrate"):
        raise ValueError("wrong")
    assert capsys.readouterr().err == ""


def test_a_long_stage_prints_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "REMINDER_S", 0.01)
    err = ""
    with logged_stages("edge-convert"), stage("convert to float .tflite") as update:
        update(40, 200)
        while "so far, 40 of 200" not in err:
            time.sleep(0.01)
            err += capsys.readouterr().err
    assert re.match(r"edge-convert: \[\d+ s\] convert to float \.tflite: \d+ s so far", err)
