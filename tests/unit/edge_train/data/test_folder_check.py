"""Every problem of a folder is named before training, with its files, and the rest can be trained on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from edge_train.data.folder_check import FolderReport, check_folder
from edge_train.data.problems import LEAVE_OUT, REFUSE, WARN, Problem
from edge_train.errors import FolderError
from tests.unit.edge_train.data.pictures import contents, encoded, pixels, write


def problem(report: FolderReport, kind: str) -> Problem:
    matching = [item for item in report.problems if item.kind == kind]
    assert len(matching) == 1, [item.kind for item in report.problems]
    assert matching[0].text in report.to_text()
    assert matching[0].cure
    return matching[0]


def kinds(report: FolderReport) -> set[str]:
    return {item.kind for item in report.problems}


def test_a_sound_folder_has_only_the_remark_on_evidence(tmp_path: Path) -> None:
    report = check_folder(write(tmp_path, contents(25, 3)), fmr=0.1)
    assert kinds(report) == {"low_evidence"} or not report.problems
    assert not report.refused
    assert (report.images, report.subjects) == (75, 25)
    assert report.usable is not None
    assert len(report.usable.flat) == 75
    assert report.usable.samples.image(report.usable.flat[0]).shape == (32, 32, 3)
    assert (report.median_size, report.gray) == ((32, 32), False)
    assert "32x32 px" in report.to_text()
    split = report.split(seed=1)
    assert len({*split.train.names, *split.calibration.names, *split.evaluation.names}) == 25
    assert json.loads(json.dumps(report.to_json()))["usable_subjects"] == 25


def test_too_little_evidence_is_stated_with_numbers(tmp_path: Path) -> None:
    report = check_folder(write(tmp_path, contents(50)), fmr=1e-3)
    remark = problem(report, "low_evidence")
    assert remark.severity == WARN
    assert len(report.split(seed=0).evaluation.names) in range(13, 18)
    assert "about 15 subjects" in remark.text and "FMR 0.001 needs 78" in remark.text
    assert "84 (FMR 0.01) or 390 (FMR 0.001)" in remark.cure


def test_pictures_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    good = contents(24, 3)
    bad = {
        "s000/damaged.png": good["s000/0.png"][:200],
        "s001/text.jpg": b"no picture",
        "s002/empty.png": b"",
        "s003/tiny.png": encoded(pixels(3, 9, 8)),
        "s004/blank.png": encoded(np.full((32, 32, 3), 90, np.uint8)),
        "s005/clear.png": encoded(np.zeros((32, 32, 4), np.uint8)),
    }
    report = check_folder(write(tmp_path, {**good, **bad}))
    unreadable = problem(report, "unreadable")
    assert unreadable.severity == LEAVE_OUT
    assert [line.split(":")[0] for line in unreadable.files] == [
        "s000/damaged.png",
        "s001/text.jpg",
        "s002/empty.png",
        "s005/clear.png",
    ]
    assert problem(report, "too_small").files == ("s003/tiny.png",)
    assert problem(report, "blank").files == ("s004/blank.png",)
    assert report.usable is not None
    assert {sample.name for sample in report.usable.flat} == set(good)


def test_copies_of_files_are_left_out(tmp_path: Path) -> None:
    good = contents(24, 3)
    good["s000/copy.png"] = good["s000/0.png"]
    good["s001/other.png"] = good["s002/0.png"]
    report = check_folder(write(tmp_path, good))
    assert problem(report, "identical_images").files == ("s000/copy.png",)
    contradiction = problem(report, "identical_across_subjects")
    assert contradiction.severity == LEAVE_OUT
    assert contradiction.files == ("s001/other.png = s002/0.png",)
    assert report.usable is not None
    left = {sample.name for sample in report.usable.flat}
    assert left == set(good) - {"s000/copy.png", "s001/other.png", "s002/0.png"}
    assert report.together == (("s001", "s002"),)
    assert "identical_images" in kinds(report)


def test_a_subject_under_two_names_is_left_out_once(tmp_path: Path) -> None:
    good = contents(24, 4)
    for number in range(4):
        good[f"twin/{number}.png"] = good[f"s007/{number}.png"]
    good["twin/own.png"] = encoded(pixels(99, 1))
    report = check_folder(write(tmp_path, good))
    twice = problem(report, "subject_twice")
    assert twice.files == ("s007 (as twin)",)
    assert report.usable is not None
    assert "twin" in report.usable.names and "s007" not in report.usable.names
    assert "identical_across_subjects" not in kinds(report)


def test_nearly_equal_pictures_keep_their_subjects_together(tmp_path: Path) -> None:
    good = contents(24, 3)
    again = encoded(pixels(3, 0, 96), "JPEG", quality=70)
    good["s009/same.jpg"] = again
    good["s003/again.jpg"] = encoded(pixels(3, 1, 64), "JPEG", quality=80)
    report = check_folder(write(tmp_path, good))
    across = problem(report, "near_duplicates_across_subjects")
    assert across.severity == WARN
    assert across.files == ("s003/0.png = s009/same.jpg",)
    assert problem(report, "near_duplicates").files == ("s003/1.png = s003/again.jpg",)
    assert report.together == (("s003", "s009"),)
    for seed in range(12):
        split = report.split(seed=seed)
        sides = [
            {"s003", "s009"} <= set(part.names) for part in (split.train, split.calibration, split.evaluation)
        ]
        assert sum(sides) == 1


def test_subjects_with_mostly_the_same_pictures_are_named(tmp_path: Path) -> None:
    good = contents(24, 3)
    for number in range(3):
        good[f"alias/{number}.jpg"] = encoded(pixels(5, number, 64), "JPEG", quality=75)
    assert problem(check_folder(write(tmp_path, good)), "subjects_alike").files == ("alias = s005",)


def test_similar_names_are_named_and_kept_together(tmp_path: Path) -> None:
    good = contents(24)
    for name, number in (
        ("Cola", 50),
        ("cola", 51),
        ("cola (2)", 52),
        ("co-la", 53),
        ("tea_old", 54),
        ("tea", 55),
    ):
        for image in range(2):
            good[f"{name}/{image}.png"] = encoded(pixels(number, image))
    report = check_folder(write(tmp_path, good))
    assert problem(report, "similar_names").files == ("Cola = cola = cola (2)", "tea = tea_old")
    assert report.together == (("Cola", "cola", "cola (2)"), ("tea", "tea_old"))


def test_names_that_differ_in_the_encoding_of_accents_are_nearly_equal(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    images = contents(24)
    for number, name in enumerate((composed, decomposed), 50):
        images |= {f"{name}/{image}.png": encoded(pixels(number, image)) for image in range(2)}
    report = check_folder(write(tmp_path, images))
    assert problem(report, "similar_names").files == (f"{decomposed} = {composed}",)


def test_photographs_turned_by_exif_have_their_upright_size(tmp_path: Path) -> None:
    images = {}
    for subject in range(24):
        for image in range(2):
            upright = np.tile(pixels(subject, image), (3, 2, 1))
            turned = (subject + image) % 2 == 1
            file = io.BytesIO()
            orientation = Image.Exif()
            orientation[ExifTags.Base.Orientation] = 6 if turned else 1
            Image.fromarray(np.rot90(upright) if turned else upright).save(file, "JPEG", exif=orientation)
            images[f"s{subject:03d}/{image}.jpg"] = file.getvalue()
    report = check_folder(write(tmp_path, images))
    assert report.median_size == (96, 64)
    assert "mixed_aspect_ratios" not in kinds(report)
    assert "--size 128x80" in report.to_text()


def test_each_file_with_a_message_has_a_line(tmp_path: Path) -> None:
    report = check_folder(write(tmp_path, {**contents(24), "s000/empty.png": b"", "s001/text.jpg": b"text"}))
    assert "\n  s000/empty.png: expected an image, found an empty file\n  s001/text.jpg: " in report.to_text()


def test_few_subjects_are_refused_with_the_numbers_needed(tmp_path: Path) -> None:
    few = check_folder(write(tmp_path / "few", contents(19)))
    assert few.refused
    refusal = problem(few, "few_subjects")
    assert refusal.severity == REFUSE
    assert "20 subjects" in refusal.text and "19 subjects" in refusal.text
    assert "about 84 in all" in refusal.cure
    with pytest.raises(FolderError, match="20 subjects") as error:
        few.split(seed=0)
    assert error.value.hint == refusal.cure
    single = check_folder(write(tmp_path / "single", contents(1, 5)))
    assert problem(single, "one_subject").severity == REFUSE
    lonely = check_folder(write(tmp_path / "lonely", contents(30, 1)))
    assert problem(lonely, "no_subject_with_two_images").severity == REFUSE
    assert len(problem(lonely, "single_images").files) == 30


def test_subjects_with_one_image_are_left_out(tmp_path: Path) -> None:
    files = {**contents(24), "alone/1.png": encoded(pixels(77, 0))}
    report = check_folder(write(tmp_path, files))
    assert problem(report, "single_images").files == ("alone",)
    assert report.usable is not None and "alone" not in report.usable.names


def test_misplaced_folders_are_named(tmp_path: Path) -> None:
    loose = check_folder(write(tmp_path / "loose", {f"{k}.png": encoded(pixels(k, 0)) for k in range(30)}))
    assert problem(loose, "no_subject").severity == REFUSE
    assert kinds(loose) == {"no_subject"}

    extra = check_folder(write(tmp_path / "extra", contents(24, prefix="products/all/")))
    assert problem(extra, "extra_folder").severity == REFUSE
    assert "extra/products/all" in problem(extra, "extra_folder").cure

    nested = {f"s{k:03d}/day{day}/x.png": encoded(pixels(k, day)) for k in range(24) for day in range(2)}
    inner = check_folder(write(tmp_path / "nested", nested))
    assert problem(inner, "nested_images").severity == REFUSE

    some = check_folder(
        write(tmp_path / "some", {**contents(24), **{"s000/old/x.png": encoded(pixels(0, 8))}})
    )
    assert problem(some, "nested_images").severity == LEAVE_OUT
    assert problem(some, "nested_images").files == ("s000/old/x.png",)
    assert not some.refused

    beside = check_folder(write(tmp_path / "beside", {**contents(1), **contents(24, prefix="products/")}))
    assert "beside/products, which has 24 folders" in problem(beside, "nested_images").cure


def test_parts_that_share_subjects_are_no_split(tmp_path: Path) -> None:
    same = {**contents(24, prefix="train/"), **contents(24, 1, prefix="test/")}
    report = check_folder(write(tmp_path / "same", same))
    assert problem(report, "split_folders").severity == REFUSE
    assert "24 of 24 are in two of them" in problem(report, "split_folders").text
    apart = {**contents(24, prefix="train/"), "val/x/1.png": encoded(pixels(90, 1))}
    cure = problem(check_folder(write(tmp_path / "apart", apart)), "split_folders").cure
    assert "train, calibration, evaluation" in cure


def test_a_split_of_the_user_is_kept(tmp_path: Path) -> None:
    files = contents(24)
    part = {f"s{k:03d}": "train" if k < 10 else "calibration" if k < 13 else "evaluation" for k in range(24)}
    placed = {f"{part[name.split('/')[0]]}/{name}": content for name, content in files.items()}
    report = check_folder(write(tmp_path / "own", placed))
    assert not report.refused
    split = report.split(seed=5)
    assert (len(split.train.names), len(split.calibration.names), len(split.evaluation.names)) == (10, 3, 11)
    assert split.train.samples.image(split.train.flat[0]).shape == (32, 32, 3)
    both = {**placed, "evaluation/s000/9.png": encoded(pixels(0, 9))}
    refusal = problem(check_folder(write(tmp_path / "both", both)), "subject_in_two_parts")
    assert refusal.severity == REFUSE
    assert refusal.files == ("s000 (evaluation, train)",)
    alike = {**placed, "evaluation/s020/9.jpg": encoded(pixels(2, 0, 64), "JPEG", quality=75)}
    leak = problem(check_folder(write(tmp_path / "alike", alike)), "alike_across_parts")
    assert leak.files == ("train/s002 = evaluation/s020",)
    few = {name: content for name, content in placed.items() if "calibration" not in name or "s010" in name}
    assert "2 in calibration/" in problem(check_folder(write(tmp_path / "few", few)), "few_subjects").text


def test_ignored_files_links_and_loops_are_named(tmp_path: Path) -> None:
    root = write(tmp_path / "data", contents(24))
    outside = write(tmp_path / "outside", contents(1))
    write(
        root,
        {"s000/notes.txt": b"x", "s001/.hidden.png": b"x", ".cache/x.png": b"x", "s002/phone.heic": b"x"},
    )
    write(root, {"more.zip": b"x"})
    (root / "empty").mkdir()
    (root / "linked").symlink_to(outside / "s000")
    (root / "s003" / "loop").symlink_to(root)
    (root / "s004" / "broken.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(root / "s005" / "pipe.png")
    report = check_folder(root)
    assert problem(report, "other_files").files == ("s000/notes.txt",)
    assert problem(report, "hidden").files == (".cache", "s001/.hidden.png")
    assert problem(report, "other_pictures").files == ("s002/phone.heic",)
    assert problem(report, "archives_inside").files == ("more.zip",)
    assert problem(report, "empty_folders").files == ("empty",)
    assert problem(report, "links").files == ("linked",)
    assert problem(report, "link_loops").files == ("s003/loop",)
    assert [line.split(":")[0] for line in problem(report, "unreadable").files] == [
        "s004/broken.png",
        "s005/pipe.png",
    ]
    assert not report.refused


def test_a_name_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    root = write(tmp_path, contents(24))
    (root / "s000" / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded(pixels(0, 9)))
    report = check_folder(root)
    assert len(problem(report, "misnamed").files) == 1
    report.to_text().encode()


def test_a_name_with_control_characters_does_not_reach_the_terminal(tmp_path: Path) -> None:
    root = write(tmp_path, {**contents(24), "s000/a\x1b[31m.png": b"x"})
    assert "\x1b" not in check_folder(root).to_text()


def test_mixed_pictures_are_named(tmp_path: Path) -> None:
    files = contents(24)
    for number in range(5):
        gray = pixels(number, 7).mean(axis=2).astype(np.uint8)
        files[f"s{number:03d}/gray.png"] = encoded(gray)
    files["s010/large.png"] = encoded(pixels(10, 7, 256))
    files["s011/tall.png"] = encoded(pixels(11, 7, 64)[:, :24])
    files.update({f"s012/{number}.png": encoded(pixels(12, number)) for number in range(40)})
    report = check_folder(write(tmp_path, files))
    mixed = problem(report, "mixed_colour")
    assert len(mixed.files) == 5 and all(name.endswith("gray.png") for name in mixed.files)
    assert "256x256" in problem(report, "mixed_sizes").text
    assert problem(report, "mixed_aspect_ratios").files == ("s011/tall.png",)
    assert problem(report, "imbalance").files == ("s012",)
    assert {item.severity for item in report.problems} == {WARN}


def test_archives_are_checked_like_folders(tmp_path: Path) -> None:
    files = {**contents(24), "s000/copy.png": contents(1)["s000/0.png"], "s001/notes.txt": b"x"}
    folder = check_folder(write(tmp_path / "data", files))
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"data/{name}", content)
    with tarfile.open(tmp_path / "data.tar.gz", "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    for path in (tmp_path / "data.zip", tmp_path / "data.tar.gz"):
        report = check_folder(path)
        assert kinds(report) == kinds(folder)
        assert report.usable is not None and folder.usable is not None
        assert report.usable.flat == folder.usable.flat
        assert report.usable.samples.data_set == "data"
        assert report.usable.samples.digest == folder.usable.samples.digest


def test_a_path_without_pictures_is_an_error_or_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="found nothing there"):
        check_folder(tmp_path / "missing")
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(FolderError, match="another kind of file"):
        check_folder(tmp_path / "text.txt")
    (tmp_path / "empty").mkdir()
    assert problem(check_folder(tmp_path / "empty"), "no_images").severity == REFUSE


def test_progress_reaches_the_total_and_threads_do_not_matter(tmp_path: Path) -> None:
    root = write(tmp_path, contents(40, 3))
    calls: list[tuple[int, int]] = []
    first = check_folder(root, threads=1, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (120, 120)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert check_folder(root, threads=7).to_json() == first.to_json()


def test_a_closed_folder_is_named() -> None:
    # Other users must be able to reach the folder, because the superuser may read every folder.
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name), contents(24))
        root.chmod(0o755)
        (root / "closed").mkdir(mode=0o000)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            report = check_folder(root)
        finally:
            os.seteuid(user)
        assert problem(report, "closed_folders").files == ("closed",)
        assert "empty_folders" not in kinds(report)


def test_the_check_imports_no_tensorflow() -> None:
    source = "import sys, edge_train.data.folder_check; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, contents(24))
    (folder / "s000" / "self.png").symlink_to("self.png")
    (folder / "around").symlink_to("around")
    report = check_folder(folder)
    assert problem(report, "unreadable").files == (
        "s000/self.png: expected a file, found a broken link or a device",
    )
    assert problem(report, "other_files").files == ("around",)
    assert not report.refused


def test_names_of_other_unicode_forms_and_cases_are_similar(tmp_path: Path) -> None:
    files = contents(24)
    for number, name in enumerate(("caf\u00e9", "Cafe\u0301")):
        files |= {f"{name}/{image}.png": encoded(pixels(50 + number, image)) for image in range(2)}
    report = check_folder(write(tmp_path, files))
    assert problem(report, "similar_names").files == ("Cafe\u0301 = caf\u00e9",)
    assert report.together == (("Cafe\u0301", "caf\u00e9"),)


def test_the_digest_follows_from_names_and_bytes(tmp_path: Path) -> None:
    files = contents(24)
    first = check_folder(write(tmp_path / "a", files)).digest
    assert check_folder(write(tmp_path / "b", files)).digest == first
    # Two pictures change places; names and sizes stay.
    files["s000/0.png"], files["s001/0.png"] = files["s001/0.png"], files["s000/0.png"]
    assert check_folder(write(tmp_path / "c", files)).digest != first


def test_look_alikes_across_parts_of_a_list_are_named(tmp_path: Path) -> None:
    files = contents(24)
    for image in range(2):
        files[f"S000/{image}.png"] = encoded(pixels(90, image))
    report = check_folder(write(tmp_path, files))
    parts = dict.fromkeys(("s000", "S000"), "train")
    assert "alike_across_parts" not in kinds(report.for_parts(parts))
    stated = problem(report.for_parts({**parts, "S000": "evaluation"}), "alike_across_parts")
    assert stated.files == ("evaluation/S000 = train/s000",)
