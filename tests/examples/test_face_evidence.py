"""`edge-sdk face evidence` on real networks and photographs: a household, one person under two names, a bad camera."""

from __future__ import annotations

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_sdk.cli import main
from edge_sdk.gallery import DecisionPolicy, Gallery, KeyFile
from edge_sdk.model.model_file import ModelFile, bundle, split
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.vision.embedder import Embedder
from tests.examples.conftest import FaceNetworks
from tools.threshold_transfer import FAULTS, Faces, card_of

pytestmark = pytest.mark.real

HOUSEHOLD = ("George_Robertson", "Denzel_Washington", "Nancy_Pelosi", "Ian_Thorpe")
STRANGERS = 22
CARD_PEOPLE = 160
#: The card of these tests has no evidence for a lower rate.
FPIR = ("--fpir", "0.02")


@pytest.fixture(scope="module")
def photographs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `people` (one subfolder per person) and `strangers` (one photograph of each)."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "strangers").mkdir()
    with tarfile.open(shared / "faces" / "lfw_devtest_raw250.tar") as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            person, taken = path.parent.name, len(list((folder / "strangers").iterdir()))
            if path.suffix != ".jpg" or (
                person not in HOUSEHOLD and not (path.stem.endswith("_0001") and taken < STRANGERS)
            ):
                continue
            target = folder / ("people" if person in HOUSEHOLD else "strangers")
            target = target / person / path.name if person in HOUSEHOLD else target / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            file = archive.extractfile(member)
            assert file is not None
            target.write_bytes(file.read())
    return folder


@pytest.fixture(scope="module")
def options(shared: Path, face_networks: FaceNetworks, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options that name a model with evidence from other people, and a detector."""
    embedder = Embedder.open(face_networks.embedder)
    vectors = []
    with tarfile.open(shared / "faces" / "lfw_calibration_aligned112.tar") as archive:
        for member in [member for member in archive.getmembers() if member.isfile()][:CARD_PEOPLE]:
            with Image.open(archive.extractfile(member)) as image:  # type: ignore[arg-type]
                vectors.append(embedder.embed(np.asarray(image.convert("RGB"))).astype(np.float64))
    scores, strict = card_of(Faces(np.stack(vectors), np.arange(CARD_PEOPLE)), 1e-3)
    points = (
        OperatingPoint(scores.threshold, 1e-2, 0.0, 1, scores.comparisons, data_set="calibration crops"),
        OperatingPoint(strict, 1e-3, 0.0, 1, scores.comparisons, data_set="calibration crops"),
    )
    model = ModelFile.open(face_networks.embedder)
    path = tmp_path_factory.mktemp("proven") / "face.tflite"
    path.write_bytes(
        bundle(
            split(model.data)[0],
            replace(model.card, operating_points=points, non_mated_scores=scores).to_bytes(),
        )
    )
    return ["--model", str(path), "--detector", str(face_networks.detector)]


def evidence(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = main(["face", "evidence", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_a_household_and_its_camera_are_fine(
    photographs: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    strangers = ["--strangers", photographs / "strangers", *FPIR]
    code, out = evidence(capsys, photographs / "people", *options, *strangers)
    assert code == 0, out
    assert "Denzel_Washington and George_Robertson are apart" in out
    assert "camera: as the evidence states" in out
    assert "strangers would be accepted" in out
    code, out = evidence(capsys, photographs / "people", *options, *strangers, "--json")
    result = json.loads(out)
    assert result["fine"] and len(result["pairs"]) == 6
    assert all(person["recognized"] == person["further_pictures"] >= 2 for person in result["people"])
    assert result["camera"]["state"] == "as expected"


def test_one_person_under_two_names_and_a_foreign_picture_are_problems(
    photographs: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "people"
    shutil.copytree(photographs / "people", people)
    (people / "georgie").mkdir()
    for path in sorted((people / "George_Robertson").iterdir())[:3]:
        path.rename(people / "georgie" / path.name)
    shutil.copy(next((people / "Nancy_Pelosi").iterdir()), people / "Ian_Thorpe" / "wrong.jpg")
    code, out = evidence(capsys, people, *options, *FPIR)
    assert code == 1
    assert "problem: George_Robertson and georgie are closer" in out and "one person under two names?" in out
    assert "problem: Ian_Thorpe: wrong.jpg resembles none of the others" in out
    assert "camera: too few people to compare" in out


def test_a_camera_with_motion_blur_differs_from_the_evidence(
    photographs: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    for path in photographs.rglob("*.jpg"):
        target = (tmp_path / path.relative_to(photographs)).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            FAULTS["moving"](image.convert("RGB"), rng).save(target)
    code, out = evidence(capsys, tmp_path / "people", *options, "--strangers", tmp_path / "strangers", *FPIR)
    assert code == 1
    assert "the evidence does not hold for this camera or these people" in out


def test_people_pose_one_after_another_and_the_gallery_gives_the_policy(
    photographs: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One folder as camera shows the same person under both names.
    camera = ["--camera", photographs / "people" / "George_Robertson", "--name", "ann", "--name", "bob"]
    model = ModelFile.open(options[1])
    key = KeyFile.create(tmp_path / "home.key")
    gallery = Gallery.create(
        tmp_path / "home.gallery", key=key, model_id=model.model_id, dimension=model.card.dimension
    )
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(model.card.operating_points, fpir=0.2))
        transaction.pin_evidence(model.model_id.evidence)
    code, out = evidence(
        capsys, *camera, *options, "--gallery", tmp_path / "home.gallery", "--key", tmp_path / "home.key"
    )
    assert code == 1
    assert "problem: ann and bob are closer than the threshold" in out
    assert "of 100 strangers who press the button once, about 20 get in" in out
    assert "pictures of one visit are alike" in out


def test_a_person_without_a_good_picture_is_a_problem_of_this_person(
    photographs: Path, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = tmp_path / "people"
    shutil.copytree(photographs / "people" / "Ian_Thorpe", people / "Ian_Thorpe")
    (people / "nobody").mkdir()
    Image.new("RGB", (250, 250), (90, 90, 90)).save(people / "nobody" / "1.png")
    code, out = evidence(capsys, people, *options, *FPIR)
    assert code == 1
    assert "nobody/1.png not used: expected a face in the frame, found none" in out
    assert "problem: nobody has no usable picture" in out
    assert "problems were found" in out and "no problem found" not in out
    assert "Ian_Thorpe is recognized in" in out
    code, _ = evidence(capsys, "--camera", people / "nobody", "--name", "nobody", *options, *FPIR)
    assert code == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a folder of people, or --camera and --name"),
        (["people", "--camera", "usb"], "either a folder of people, or --camera"),
        (["--camera", "usb"], "--name once per person"),
        (["--camera", "usb", "--name", "ann", "--name", "ann"], "each --name is another person"),
    ],
)
def test_contradicting_options_are_refused(
    options: list[str], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["face", "evidence", *arguments, *options])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
