"""`edge-sdk face` on real networks and photographs: enrol, identify, watch, and errors."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from edge_sdk.cli import main
from edge_sdk.vision.images import read_image
from tests.examples.conftest import FaceNetworks

pytestmark = pytest.mark.real

ENROLLED, STRANGER = "Donald_Rumsfeld", "Emma_Watson"


@pytest.fixture(scope="module")
def people(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw photographs of two people, one folder per person."""
    folder = tmp_path_factory.mktemp("people")
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        for member in archive.getmembers():
            person = Path(member.name).parent.name
            if person in (ENROLLED, STRANGER) and member.name.endswith(".jpg"):
                file = archive.extractfile(member)
                assert file is not None
                target = folder / person / Path(member.name).name
                target.parent.mkdir(exist_ok=True)
                target.write_bytes(file.read())
    return folder


@pytest.fixture
def files(face_networks: FaceNetworks, tmp_path: Path) -> list[str]:
    """Create a gallery and return the options that every command needs."""
    gallery = ["--gallery", str(tmp_path / "home.gallery"), "--key", str(tmp_path / "home.key")]
    assert main(["gallery", "create", "--model", str(face_networks.embedder), *gallery]) == 0
    return ["--model", str(face_networks.embedder), "--detector", str(face_networks.detector), *gallery]


def photographs(people: Path, person: str) -> list[str]:
    return [str(path) for path in sorted((people / person).iterdir())]


def test_a_person_enrolled_from_photographs_is_recognized_in_others(
    people: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = photographs(people, ENROLLED)
    assert main(["face", "enrol", "donald", *mine[:-2], *files]) == 0
    assert "enrolled donald with 5 templates" in capsys.readouterr().out
    probes = [mine[-1], photographs(people, STRANGER)[0]]
    assert main(["face", "identify", *probes, *files, "--threshold", "0.45", "--json"]) == 1
    enrolled, stranger = json.loads(capsys.readouterr().out)
    assert (enrolled["decision"], enrolled["subject"]) == ("accepted", "donald")
    assert (stranger["decision"], stranger["subject"]) == ("rejected", None)
    assert main(["face", "identify", mine[-1], *files, "--threshold", "0.45"]) == 0


def test_a_folder_is_watched_as_a_camera(
    people: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["face", "enrol", "donald", "--camera", str(people / ENROLLED), *files]) == 0
    capsys.readouterr()
    watch = ["face", "watch", *files, "--threshold", "0.45", "--json", "--camera"]
    assert main([*watch, str(people / ENROLLED)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert "donald" in {answer["subject"] for answer in answers}
    assert main([*watch, str(people / STRANGER)]) == 1
    assert "accepted" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [["enrol", "eve"], ["identify"]])
def test_missing_pictures_are_a_usage_error(
    files: list[str], capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["face", *command, *files])
    assert stopped.value.code == 2
    assert "photographs" in capsys.readouterr().err


def test_a_missing_camera_is_an_error(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["face", "enrol", "eve", "--camera", "nowhere", *files]) == 3
    assert "expected a camera" in capsys.readouterr().err


def test_copies_of_one_picture_enrol_nobody(
    people: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["face", "enrol", "emma", *photographs(people, STRANGER)[:1] * 3, *files]) == 3
    error = capsys.readouterr().err
    assert "expected 3 good frames of 'emma', found 1 of 3" in error
    assert "identical to an earlier image" in error


def test_too_few_good_pictures_enrol_nobody(
    people: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["face", "enrol", "emma", photographs(people, STRANGER)[0], *files]) == 3
    assert "expected 3 good frames" in capsys.readouterr().err
    assert main(["gallery", "list", *files[4:]]) == 0
    assert capsys.readouterr().out == ""


def test_an_enrolment_at_a_camera_guides_the_person_and_counts_refusals(
    people: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = tmp_path / "camera"
    camera.mkdir()
    Image.new("RGB", (250, 250), (90, 90, 90)).save(camera / "0.png")
    Image.new("RGB", (250, 250), (91, 90, 90)).save(camera / "1.png")
    for number, path in enumerate(photographs(people, ENROLLED)):
        (camera / f"a{number}.jpg").write_bytes(Path(path).read_bytes())
    assert main(["face", "enrol", "donald", "--camera", str(camera), *files]) == 0
    out, err = capsys.readouterr()
    assert "2 pictures not used: stand in front of the camera\n" in out
    lines = [line for line in err.splitlines() if line.startswith("edge-sdk: ")]
    assert lines[:3] == [
        "edge-sdk: look at the camera, and move the head a little between the pictures",
        "edge-sdk: stand in front of the camera",
        "edge-sdk: 1 of 5 good pictures",
    ]
    assert main(["face", "enrol", "eve", str(people / STRANGER), *files]) == 3
    assert f"hint: give its files, or --camera {people / STRANGER}" in capsys.readouterr().err


def test_photographs_turned_by_180_degrees_give_no_crops_until_they_are_turned(
    people: Path, face_networks: FaceNetworks, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    upright, other = (read_image(path) for path in photographs(people, ENROLLED)[:2])
    Image.fromarray(upright).save(photos / "upright.png")
    Image.fromarray(other[::-1, ::-1]).save(photos / "turned.png")
    align = ["face", "align", str(photos), "--detector", str(face_networks.detector), "--json"]
    for options, written, refused, setting in (
        ([], "upright.png", "turned.png", 180),
        (["--rotate", "180"], "turned.png", "upright.png", 0),
    ):
        assert main([*align, "--output", str(tmp_path / f"crops {setting}"), *options]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["written"] == [written]
        assert [item["photograph"] for item in result["refused"]] == [refused]
        assert result["refused"][0]["reason"].endswith(f"--rotate {setting}")


def test_an_enrolment_names_a_turned_photograph(
    people: Path, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = photographs(people, ENROLLED)
    turned = tmp_path / "turned.png"
    Image.fromarray(read_image(mine[0])[::-1, ::-1]).save(turned)
    assert main(["face", "enrol", "donald", str(turned), *mine[1:], *files, "--json"]) == 0
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert refused[0]["image"] == str(turned) and refused[0]["reason"].endswith("--rotate 180")


def test_scores_for_the_owner_are_printed_only_if_asked_for(
    people: Path, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = photographs(people, ENROLLED)
    assert main(["face", "enrol", "donald", *mine[:-2], *files]) == 0
    identify = ["face", "identify", mine[-1], *files, "--threshold", "0.45"]
    capsys.readouterr()
    assert main(identify) == 0
    assert "score" not in capsys.readouterr().out
    assert main([*identify, "--owner-scores"]) == 0
    out = capsys.readouterr().out
    assert "accepted as donald; owner's scores: donald 0." in out
    assert main([*identify, "--json"]) == 0
    assert "owner_scores" not in json.loads(capsys.readouterr().out)[0]
    assert main(["gallery", "audit", *files[4:]]) == 0
    assert "scores of a picture shown to the owner" in capsys.readouterr().out
