"""Transcripts of ``edge-sdk enrol|verify|identify|gallery``: command lines, output and exit codes."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_sdk import KeyFile, __version__
from edge_sdk.model.landmark_template import arcface

Run = Callable[..., Any]
Make = Callable[..., Any]


@pytest.fixture
def alice(products: list[Any]) -> Path:
    return products[0].enrol


@pytest.fixture
def stranger(products: list[Any]) -> Path:
    return products[-1].enrol


# Enrol


def test_the_first_enrol_makes_the_gallery_and_its_key(edge_sdk: Run, empty_home: Any, alice: Path) -> None:
    done = edge_sdk("enrol", "alice", alice, *empty_home.all)
    assert (done.code, done.out) == (0, "enrolled alice with 1 template\n")
    key = empty_home.folder / "home.key"
    assert (
        done.err == f"edge-sdk: made a key file {key}: store it on another disk than the gallery if you can\n"
    )
    assert {"home.gallery", "home.key"} <= empty_home.names()
    assert list(KeyFile(key).galleries()) == [str(empty_home.folder / "home.gallery")]
    for path in empty_home.folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_next_enrol_uses_both(edge_sdk: Run, home: Any, products: list[Any]) -> None:
    key = (home.folder / "home.key").read_bytes()
    done = edge_sdk("enrol", "bob", *products[1].probes[:2], *home.all, "--label", "tea, hazelnut", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == {"enrolled": "bob", "templates": 2, "added": False}
    assert (home.folder / "home.key").read_bytes() == key
    assert edge_sdk("gallery", "list", *home.files).out == "alice\t1\t\nbob\t2\ttea, hazelnut\n"


def test_a_subject_is_enrolled_once(edge_sdk: Run, home: Any, stranger: Path) -> None:
    before = (home.folder / "home.gallery").read_bytes()
    done = edge_sdk("enrol", "alice", stranger, *home.all)
    assert done.code == 3
    assert done.err == (
        "edge-sdk: error: 'alice' is enrolled already\n"
        "edge-sdk: hint: remove it first, or choose another name; to add pictures to it, enrol with add (--add)\n"
    )
    assert (home.folder / "home.gallery").read_bytes() == before


def test_a_bad_image_leaves_nothing_behind(
    edge_sdk: Run, empty_home: Any, alice: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(alice.read_bytes()[:500])
    for image in (bad, tmp_path / "none.jpg", tmp_path):
        done = edge_sdk("enrol", "alice", alice, image, *empty_home.all)
        assert done.code == 3
        assert str(image) in done.err
        assert empty_home.names() == set()


@pytest.mark.parametrize("subject", ["", "a" * 65, "ä" * 33, "a\nb", "a\x1b[2Jb", "\udcff"])
def test_a_bad_name_leaves_nothing_behind(edge_sdk: Run, empty_home: Any, alice: Path, subject: str) -> None:
    done = edge_sdk("enrol", subject, alice, *empty_home.all)
    assert done.code == 3
    assert "a subject's name" in done.err
    assert empty_home.names() == set()


def test_a_bad_label_leaves_nothing_behind(edge_sdk: Run, empty_home: Any, alice: Path) -> None:
    done = edge_sdk("enrol", "alice", alice, *empty_home.all, "--label", "x" * 65)
    assert (done.code, empty_home.names()) == (3, set())
    assert "a label" in done.err


@pytest.mark.parametrize("flag", ["--gallery", "--key", "--anchor"])
def test_a_folder_that_is_not_there_leaves_nothing_behind(
    edge_sdk: Run, empty_home: Any, alice: Path, flag: str
) -> None:
    places = {"--gallery": "home.gallery", "--key": "home.key", "--anchor": "home.anchor"}
    paths = {name: empty_home.folder / file for name, file in places.items()}
    paths[flag] = empty_home.folder / "none" / places[flag]
    flags = [str(part) for pair in paths.items() for part in pair]
    done = edge_sdk("enrol", "alice", alice, "--model", empty_home.model, *flags)
    assert (done.code, empty_home.names()) == (3, set())
    assert f"edge-sdk: hint: create the folder {paths[flag].parent} first" in done.err


def test_a_name_in_any_script_is_kept(edge_sdk: Run, empty_home: Any, alice: Path) -> None:
    assert edge_sdk("enrol", "Zoë 東京", alice, *empty_home.all).out == "enrolled Zoë 東京 with 1 template\n"
    assert edge_sdk("gallery", "list", *empty_home.files).out == "Zoë 東京\t1\t\n"
    done = edge_sdk("gallery", "list", *empty_home.files, "--json")
    assert json.loads(done.out)[0]["subject"] == "Zoë 東京"
    assert done.out.isascii()


# Verify and identify


def test_a_match_exits_0(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk("verify", "alice", alice, *home.all, "--threshold", "0.9")
    assert (done.code, done.out, done.err) == (0, f"{alice}: accepted as alice\n", "")


def test_no_match_exits_1_and_is_no_error(edge_sdk: Run, home: Any, stranger: Path) -> None:
    done = edge_sdk("verify", "alice", stranger, *home.all, "--threshold", "0.9")
    assert (done.code, done.out, done.err) == (1, f"{stranger}: rejected as alice\n", "")


def test_an_answer_in_json_carries_a_decision_and_no_score(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk("verify", "alice", alice, *home.all, "--threshold", "0.9", "--json")
    assert json.loads(done.out) == {"decision": "accepted", "subject": "alice", "reason": None}


def test_identify_names_who_it_is(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk("identify", alice, *home.all, "--threshold", "0.9")
    assert (done.code, done.out, done.err) == (0, f"{alice}: accepted as alice\n", "")


def test_identify_answers_each_image_and_exits_1_where_one_is_nobody(
    edge_sdk: Run, home: Any, alice: Path, stranger: Path
) -> None:
    done = edge_sdk("identify", alice, stranger, *home.all, "--threshold", "0.9")
    assert (done.code, done.out) == (1, f"{alice}: accepted as alice\n{stranger}: rejected\n")
    done = edge_sdk("identify", alice, stranger, *home.all, "--threshold", "0.9", "--json")
    assert json.loads(done.out) == [
        {"image": str(alice), "decision": "accepted", "subject": "alice", "reason": None},
        {"image": str(stranger), "decision": "rejected", "subject": None, "reason": None},
    ]


@pytest.mark.parametrize("content", [None, b"", b"no image"], ids=["missing", "empty", "damaged"])
def test_an_unreadable_image_does_not_keep_the_others_from_an_answer(
    edge_sdk: Run, home: Any, alice: Path, tmp_path: Path, content: bytes | None
) -> None:
    broken = tmp_path / "broken.jpg"
    if content is not None:
        broken.write_bytes(content)
    for images in ((alice, broken), (broken, alice)):
        done = edge_sdk("identify", *images, *home.all, "--threshold", "0.9", partial=True)
        assert (done.code, done.out) == (3, f"{alice}: accepted as alice\n")
        assert f"edge-sdk: error: {broken}: " in done.err
    answers = json.loads(
        edge_sdk("identify", broken, alice, *home.all, "--threshold", "0.9", "--json", partial=True).out
    )
    assert [answer["image"] for answer in answers] == [str(alice)]


def test_an_unknown_subject_is_said(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk("verify", "bob", alice, *home.all, "--threshold", "0.9")
    assert done.code == 3
    assert done.err == (
        "edge-sdk: error: 'bob' is not enrolled\nedge-sdk: hint: edge-sdk gallery list shows the enrolled subjects\n"
    )


# Thresholds


@pytest.mark.parametrize("flags", [(), ("--fmr", "1e-4")])
def test_a_card_without_operating_points_gives_no_threshold(
    edge_sdk: Run, home: Any, alice: Path, flags: tuple[str, ...]
) -> None:
    done = edge_sdk("verify", "alice", alice, *home.all, *flags)
    assert done.code == 3
    assert done.err == (
        "edge-sdk: error: the model card has no operating point, so no threshold is known\n"
        "edge-sdk: hint: measure one with edge-convert evaluate --write-card, or give a threshold\n"
    )


@pytest.fixture
def proven(tmp_path: Path, model_with_evidence: Path, edge_sdk: Run, alice: Path) -> tuple[str, ...]:
    files = ("--model", model_with_evidence, "--gallery", tmp_path / "p.gallery", "--key", tmp_path / "p.key")
    flags = tuple(str(part) for part in files)
    assert edge_sdk("enrol", "alice", alice, *flags).code == 0
    return flags


def test_a_wished_fpir_takes_the_point_that_the_gallerys_size_asks_for(
    edge_sdk: Run, proven: tuple[str, ...], alice: Path, stranger: Path
) -> None:
    assert edge_sdk("identify", alice, *proven, "--fpir", "0.01").code == 0
    assert edge_sdk("identify", stranger, *proven, "--fpir", "0.01").code == 1
    done = edge_sdk("identify", alice, *proven, "--fpir", "1e-5")
    assert (done.code, "needs an operating point at FMR" in done.err) == (3, True)


@pytest.mark.parametrize("fmr", ["1e-3", "0.001", "1e-2"])
def test_an_operating_point_of_the_card_is_chosen_by_its_fmr(
    edge_sdk: Run, proven: tuple[str, ...], alice: Path, stranger: Path, fmr: str
) -> None:
    assert edge_sdk("verify", "alice", alice, *proven, "--fmr", fmr).code == 0
    assert edge_sdk("verify", "alice", stranger, *proven, "--fmr", fmr).code == 1


def test_the_known_rates_are_told_where_none_or_another_is_asked_for(
    edge_sdk: Run, proven: tuple[str, ...], alice: Path
) -> None:
    done = edge_sdk("verify", "alice", alice, *proven)
    assert (done.code, "--threshold, or --fmr with one of 0.001, 0.01, found neither" in done.err) == (
        3,
        True,
    )
    for fmr in ("1e-4", "0", "nan", "1.1e-3"):
        done = edge_sdk("verify", "alice", alice, *proven, "--fmr", fmr)
        assert (done.code, "evidence for (0.001, 0.01), found" in done.err) == (3, True)


def test_a_measured_rate_is_chosen_by_what_is_printed_of_it(
    edge_sdk: Run, tmp_path: Path, make_model: Make, make_evidence: Make, alice: Path
) -> None:
    model = tmp_path / "m.tflite"
    point = make_evidence(fmr=37 / 1_198_000, non_mated_trials=1_198_000)
    model.write_bytes(make_model(operating_points=(point,)))
    flags = ("--model", model, "--gallery", tmp_path / "g", "--key", tmp_path / "k")
    edge_sdk("enrol", "alice", alice, *flags)
    assert edge_sdk("verify", "alice", alice, *flags, "--fmr", f"{point.fmr:g}").code == 0


@pytest.mark.parametrize("threshold", ["1.01", "-2", "nan", "inf"])
def test_a_threshold_that_is_no_cosine_is_refused(
    edge_sdk: Run, home: Any, alice: Path, threshold: str
) -> None:
    done = edge_sdk("verify", "alice", alice, *home.all, "--threshold", threshold)
    assert (done.code, "-1..1" in done.err) == (3, True)


def test_two_thresholds_at_once_are_a_usage_error(edge_sdk: Run, home: Any, alice: Path) -> None:
    assert edge_sdk("verify", "alice", alice, *home.all, "--threshold", "0.9", "--fmr", "1e-3").code == 2


# Models


def test_a_missing_model_is_said(edge_sdk: Run, home: Any, alice: Path, tmp_path: Path) -> None:
    done = edge_sdk(
        "verify", "alice", alice, "--model", tmp_path / "none.tflite", *home.files, "--threshold", "0.9"
    )
    assert done.code == 3
    assert "none.tflite: cannot be read: No such file or directory" in done.err


def test_a_pinned_digest_is_kept(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk("verify", "alice", alice, *home.all, "--threshold", "0.9", "--model-sha256", "00" * 32)
    assert (done.code, f"expected SHA-256 {'00' * 32}" in done.err) == (3, True)


def test_templates_are_never_compared_with_another_models(
    edge_sdk: Run, home: Any, alice: Path, tmp_path: Path, make_model: Make
) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(make_model(seed=1))
    for command in (
        ("enrol", "bob", alice),
        ("verify", "alice", alice, "--threshold", "0"),
        ("identify", alice, "--threshold", "0"),
    ):
        done = edge_sdk(*command, "--model", other, *home.files)
        assert done.code == 3
        assert "the gallery holds templates of model" in done.err
        assert "enrol again" in done.err


# Gallery


def test_removing_a_subject_leaves_the_others(edge_sdk: Run, home: Any, stranger: Path) -> None:
    edge_sdk("enrol", "bob", stranger, *home.all)
    done = edge_sdk("gallery", "remove", "alice", *home.files)
    assert (done.code, done.out, done.err) == (0, "removed alice\n", "")
    assert edge_sdk("gallery", "list", *home.files).out == "bob\t1\t\n"
    assert edge_sdk("gallery", "remove", "alice", *home.files).code == 3
    assert json.loads(edge_sdk("gallery", "remove", "bob", *home.files, "--json").out) == {"removed": "bob"}
    done = edge_sdk("gallery", "list", *home.files)
    assert (done.code, done.out) == (0, "")
    assert json.loads(edge_sdk("gallery", "list", *home.files, "--json").out) == []


def test_status_says_how_strong_and_how_full_it_is(edge_sdk: Run, home: Any) -> None:
    done = edge_sdk("gallery", "status", *home.files, "--json")
    status = json.loads(done.out)
    assert (done.code, status["subjects"], status["templates"], status["dimension"]) == (0, 1, 1, 32)
    assert (status["key_level"], status["key_name"]) == (0, "key file")
    text = edge_sdk("gallery", "status", *home.files).out
    gaps = status.pop("not_protected")
    assert status.pop("transfer")["state"] == "not stored"  # the text has `own_scores`
    assert any("stray copy" in gap for gap in gaps)
    lines = [line.split(None, 1) for line in text.splitlines()]
    assert status.pop("raised") is None
    assert status.pop("mixed_subjects") == []  # the text has them in `not_protected`
    for name, value in [*status.items(), *(("not_protected", gap) for gap in gaps)]:
        line = [name, "no" if value is False else str(value)]
        assert (line in lines) is (value is not None)


def test_a_wrong_key_is_said_and_no_more_than_that(edge_sdk: Run, home: Any, alice: Path) -> None:
    wrong = home.folder / "wrong.key"
    wrong.write_bytes(os.urandom(32))
    wrong.chmod(0o600)
    gallery = home.files[:2]
    for command in (("list",), ("status",), ("remove", "alice")):
        done = edge_sdk("gallery", *command, *gallery, "--key", wrong)
        assert done.code == 3
        assert "edge-sdk: error: wrong key, or the gallery was altered\n" in done.err
    assert edge_sdk("enrol", "bob", alice, "--model", home.model, *gallery, "--key", wrong).code == 3
    assert edge_sdk("gallery", "list", *home.files).out == "alice\t1\t\n"


def test_a_missing_key_is_never_made_for_a_gallery_that_exists(edge_sdk: Run, home: Any, alice: Path) -> None:
    done = edge_sdk(
        "enrol", "bob", alice, "--model", home.model, *home.files[:2], "--key", home.folder / "new.key"
    )
    assert (done.code, "cannot read the key file" in done.err) == (3, True)
    assert "new.key" not in home.names()


def test_a_key_others_can_read_is_refused_and_the_way_out_is_said(edge_sdk: Run, home: Any) -> None:
    key = home.folder / "home.key"
    key.chmod(0o644)
    done = edge_sdk("gallery", "list", *home.files)
    assert done.code == 3
    assert done.err.endswith(f"edge-sdk: hint: chmod 600 {key}\n")


def test_an_altered_or_foreign_file_is_no_gallery(edge_sdk: Run, home: Any, alice: Path) -> None:
    gallery = home.folder / "home.gallery"
    whole = gallery.read_bytes()
    for data in (b"", alice.read_bytes(), whole[:-1], whole[:100], whole[:-1] + bytes([whole[-1] ^ 1])):
        gallery.write_bytes(data)
        for command in (("gallery", "list"), ("gallery", "status"), ("gallery", "remove", "alice")):
            assert edge_sdk(*command, *home.files).code == 3
        assert edge_sdk("verify", "alice", alice, *home.all, "--threshold", "0").code == 3
        assert gallery.read_bytes() == data


def test_a_missing_gallery_is_made_by_enrol_alone(edge_sdk: Run, home: Any, alice: Path) -> None:
    (home.folder / "home.gallery").unlink()
    before = home.names()
    for command in (("list",), ("status",), ("remove", "alice")):
        assert edge_sdk("gallery", *command, *home.files).code == 3
    for command in (("verify", "alice", alice), ("identify", alice)):
        done = edge_sdk(*command, *home.all, "--threshold", "0")
        assert (done.code, "no gallery at" in done.err) == (3, True)
    assert home.names() == before


def test_an_old_copy_is_noticed_with_an_anchor(
    edge_sdk: Run, empty_home: Any, alice: Path, stranger: Path
) -> None:
    flags = (*empty_home.all, "--anchor", str(empty_home.folder / "home.anchor"))
    edge_sdk("enrol", "alice", alice, *flags)
    gallery = empty_home.folder / "home.gallery"
    old = gallery.read_bytes()
    edge_sdk("enrol", "bob", stranger, *flags)
    assert edge_sdk("verify", "bob", stranger, *flags, "--threshold", "0.9").code == 0
    gallery.write_bytes(old)
    done = edge_sdk("verify", "alice", alice, *flags, "--threshold", "0.9")
    assert (done.code, "an old copy was put back" in done.err) == (3, True)


def test_the_version_is_said(edge_sdk: Run) -> None:
    done = edge_sdk("--version")
    assert (done.code, done.out) == (0, f"edge-sdk {__version__}\n")


@pytest.mark.parametrize("command", [(), ("gallery",), ("verify",), ("enrol", "alice"), ("open",)])
def test_half_a_command_is_a_usage_error(edge_sdk: Run, command: tuple[str, ...]) -> None:
    assert edge_sdk(*command).code == 2


@pytest.mark.parametrize("command", ["enrol alice", "enrol alice a.jpg --camera usb", "identify"])
def test_pictures_of_nowhere_or_of_two_places_are_a_usage_error(
    edge_sdk: Run, home: Any, command: str
) -> None:
    """The error comes before any file is opened."""
    done = edge_sdk("face", *command.split(), *home.all, "--detector", "missing.tflite")
    assert done.code == 2
    assert "error: give " in done.err


def test_a_key_is_never_taken_from_the_command_line(edge_sdk: Run, home: Any) -> None:
    assert edge_sdk("gallery", "list", *home.files[:2], "--passphrase", "secret words").code == 2
    assert edge_sdk("gallery", "list", *home.files[:2]).code == 2
    assert edge_sdk("gallery", "list", *home.files, "--passphrase").code == 2


def test_a_covered_or_blurred_face_is_not_enrolled_from_crops(
    edge_sdk: Run, empty_home: Any, make_model: Make, make_contract: Make, tmp_path: Path
) -> None:
    """All reasons are in one error, and nothing is written; `--allow` is warned about and recorded."""
    model = tmp_path / "face.tflite"
    model.write_bytes(make_model(input=make_contract(alignment=arcface(96, 96))))
    rng = np.random.default_rng(0)
    crop = rng.integers(20, 230, (96, 96, 3)).astype(np.uint8)
    Image.fromarray(crop).save(tmp_path / "plain.png")
    crop[30:60, 8:88] = 20
    Image.fromarray(crop).save(tmp_path / "glasses.png")
    files = (tmp_path / "plain.png", tmp_path / "glasses.png", "--model", model, *empty_home.files)
    done = edge_sdk("enrol", "ann", *files)
    assert done.code == 3
    assert "glasses.png: eyes_covered" in done.err
    assert "plain.png" not in done.err
    assert "hint: take off dark glasses" in done.err
    assert empty_home.names() == set()
    done = edge_sdk("enrol", "ann", *files, "--allow", "eyes_covered")
    assert done.code == 0
    assert "warning: the limits for this enrolment are weaker than the default (min_eye_detail)" in done.err
    audit = edge_sdk("gallery", "audit", *empty_home.files, "--json")
    assert "weaker-limits" in audit.out
