"""The work folder keeps finished stages, and the output appears in one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_train.errors import TrainingError
from edge_train.run.conversion import Conversion
from edge_train.run.work_folder import WorkFolder

IDENTITY = {"plan": "steps = 5", "pictures": "ab"}


def write(text: str) -> object:
    return lambda folder: (folder / "result.txt").write_text(text)


def test_a_finished_stage_is_not_repeated(tmp_path: Path) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        first, earlier = work.stage("trained", write("first"))
        assert not earlier
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        again, earlier = work.stage("trained", write("second"))
    assert earlier
    assert again == first
    assert (again / "result.txt").read_text() == "first"


def test_nothing_stays_of_a_stage_that_failed(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        with pytest.raises(OSError, match="No space"):
            work.stage("converted", fail)
        assert sorted(path.name for path in work.path.iterdir()) == ["lock", "run.json"]
        folder, earlier = work.stage("converted", write("whole"))
        assert not earlier
        assert [path.name for path in folder.iterdir()] == ["result.txt"]


def test_a_stage_that_was_killed_begins_again(tmp_path: Path) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        left = work.path / "trained.partial"
        left.mkdir()
        (left / "old").write_text("old")
        beside = work.path / ".trained.partial.abc"
        beside.mkdir()
        folder, _ = work.stage("trained", write("new"))
        assert not beside.exists()
        assert [path.name for path in folder.iterdir()] == ["result.txt"]


@pytest.mark.parametrize("left", ["stage", "checkpoint"])
def test_the_folder_of_another_run_is_refused(tmp_path: Path, left: str) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        if left == "stage":
            work.stage("trained", write("whole"))
        else:
            (work.path / "training").mkdir()
            (work.path / "training" / "checkpoint.npz").write_text("state")
    with (
        pytest.raises(TrainingError, match=r"same plan.*another") as raised,
        WorkFolder.claim(tmp_path / "mine", {**IDENTITY, "plan": "steps = 6"}),
    ):
        pass
    assert "mine.work" in (raised.value.hint or "")


def test_a_run_that_made_nothing_gives_way_to_another(tmp_path: Path) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        (work.path / "training").mkdir()
        (work.path / "training" / "length.json").write_text("{}")
    other = {**IDENTITY, "plan": "steps = 6"}
    with WorkFolder.claim(tmp_path / "mine", other) as work:
        assert sorted(path.name for path in work.path.iterdir()) == ["lock", "run.json"]
        work.stage("trained", write("whole"))
    with WorkFolder.claim(tmp_path / "mine", other):
        pass


def test_two_runs_at_a_time_are_refused(tmp_path: Path) -> None:
    with (
        WorkFolder.claim(tmp_path / "mine", IDENTITY),
        pytest.raises(TrainingError, match="at work"),
        WorkFolder.claim(tmp_path / "mine", IDENTITY),
    ):
        pass


@pytest.mark.parametrize("exists", [False, True])
def test_the_output_appears_complete_and_the_work_folder_goes(tmp_path: Path, exists: bool) -> None:
    output = tmp_path / "mine"
    if exists:
        output.mkdir()
    with WorkFolder.claim(output, IDENTITY) as work:
        folder, _ = work.stage("output", write("whole"))
        work.publish(folder, output)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (output / "result.txt").read_text() == "whole"


def test_an_output_that_was_filled_meanwhile_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "mine"
    with WorkFolder.claim(output, IDENTITY) as work:
        folder, _ = work.stage("output", write("whole"))
        output.mkdir()
        (output / "other").write_text("other")
        with pytest.raises(TrainingError, match="new or empty"):
            work.publish(folder, output)
        assert (folder / "result.txt").exists()
    assert [path.name for path in output.iterdir()] == ["other"]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    output, taken = tmp_path / "mine", tmp_path / "mine.work"
    taken.mkdir()
    (taken / "thesis.txt").write_text("years")
    with pytest.raises(TrainingError, match="files of something else"), WorkFolder.claim(output, IDENTITY):
        pass
    WorkFolder.discard(output)
    assert [path.name for path in taken.iterdir()] == ["thesis.txt"]


def test_a_finished_run_is_discarded(tmp_path: Path) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY):
        pass
    WorkFolder.discard(tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", [["lock"], ["lock", "run.json.partial"]])
def test_a_run_that_was_killed_at_once_begins_again(tmp_path: Path, left: list[str]) -> None:
    (tmp_path / "mine.work").mkdir()
    for name in left:
        (tmp_path / "mine.work" / name).write_text("")
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        assert (work.path / "run.json").is_file()


@pytest.mark.parametrize("content", ["", "{", "[]", "\0", "[" * 100_000])
def test_a_damaged_folder_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.work").mkdir()
    (tmp_path / "mine.work" / "run.json").write_text(content)
    with (
        pytest.raises(TrainingError, match="expected a result of an earlier run") as raised,
        WorkFolder.claim(tmp_path / "mine", IDENTITY),
    ):
        pass
    assert "remove" in (raised.value.hint or "")


@pytest.mark.parametrize("content", ["{", "{}", '{"verdict": "good"}', "[]"])
def test_a_damaged_report_of_a_conversion_names_the_stage(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.report.json").write_text(content)
    with pytest.raises(TrainingError, match=r"mine\.report\.json: expected") as raised:
        Conversion.read(tmp_path, "mine")
    assert str(tmp_path) in (raised.value.hint or "")


@pytest.mark.parametrize("change", ["edited", "removed", "added", "digests"])
def test_a_finished_stage_whose_files_changed_is_made_again(tmp_path: Path, change: str) -> None:
    with WorkFolder.claim(tmp_path / "mine", IDENTITY) as work:
        folder, _ = work.stage("trained", write("whole"))
        if change == "edited":
            (folder / "result.txt").write_text("whola")
        elif change == "removed":
            (folder / "result.txt").unlink()
        elif change == "added":
            (folder / "other.txt").write_text("other")
        else:
            (work.path / "trained.digests.json").write_text("{")
        again, earlier = work.stage("trained", write("whole"))
        assert not earlier
        assert [path.name for path in again.iterdir()] == ["result.txt"]
        assert work.stage("trained", write("other")) == (folder, True)
        assert (folder / "result.txt").read_text() == "whole"
