"""The commands of docs/how-to/re-identify-people.md in small: draw, train, evaluate across cameras, enrol, identify a crop of a frame."""

import json

import numpy as np
import pytest
from PIL import Image

import converters.cli
import edge_sdk.cli
import edge_train.cli
from edge_sdk.model.model_file import ModelFile
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.person_crop import person_crop
from tools.persons.cameras import CAMERAS, SIZE_PX, develop, take_picture
from tools.persons.cli import main
from tools.persons.wardrobe import person

pytestmark = pytest.mark.slow

PLAN = """
[input]
size = [64, 32]
[network]
width = 0.5
dimension = 32
[loss]
name = "softmax"
[training]
augmentation = "faces"
steps = 30
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Draw persons and train on them; return the folder."""
    folder = tmp_path_factory.mktemp("persons")
    (folder / "persons.toml").write_text(PLAN)
    drawn = folder / "drawn"
    numbers = ("--training", "24", "--calibration", "12", "--evaluation", "26", "--pictures", "2")
    assert main(["--output", str(drawn), *numbers]) == 0
    arguments = ["--plan", str(folder / "persons.toml"), "--output", str(folder / "reid")]
    assert edge_train.cli.main([str(drawn / "pictures"), *arguments]) == 0
    return folder


@pytest.mark.parametrize("file", ["reid.float32.tflite", "reid.cpu_int8.tflite"])
@pytest.mark.parametrize(
    ("pictures", "cameras"), [("drawn/pictures/evaluation", 4), ("drawn/new_cameras", 2)]
)
def test_persons_are_searched_across_cameras(trained, tmp_path, capsys, file, pictures, cameras):
    page = tmp_path / "page.html"
    model, images = str(trained / "reid" / file), str(trained / pictures)
    command = [
        "evaluate",
        model,
        "--images",
        images,
        "--cameras",
        "names",
        "--no-cache",
        "--json",
        "--report",
        str(page),
    ]
    capsys.readouterr()
    assert converters.cli.main(command) == 0
    figures = json.loads(capsys.readouterr().out)
    across = figures["cameras"]
    assert (across["cameras"], across["probes"], across["without_match"]) == (cameras, 26 * cameras * 2, 0)
    # Pairs of one person from one camera are not compared: each of 2c pictures meets 2c - 2 of other cameras.
    assert figures["verification"]["mated_trials"] == 26 * (2 * cameras) * (2 * cameras - 2) // 2
    assert 0 <= across["rank_1"] <= across["rank_5"] < 1
    assert 0 < across["mean_average_precision"] < 1
    assert "Cumulative match across cameras" in page.read_text()


def test_a_crop_of_a_frame_is_embedded_at_the_size_of_the_card(trained):
    path = trained / "reid" / "reid.cpu_int8.tflite"
    contract = ModelFile.open(path).card.input
    assert (contract.height, contract.width) == (64, 32)
    frame = np.full((300, 400, 3), 90, np.uint8)
    picture = develop(take_picture(5, person(5, 6000), CAMERAS[0], 0))
    frame[100 : 100 + SIZE_PX[0], 150 : 150 + SIZE_PX[1]] = picture
    crop = person_crop(frame, (150, 100, 214, 228), height=64, width=32)
    embedder = Embedder.open(path)
    embedding, direct = embedder.embed(crop), embedder.embed(picture)
    assert embedding.shape == (32,) and abs(np.linalg.norm(embedding) - 1) < 1e-5
    assert embedding @ direct > 0.99


def test_a_person_is_enrolled_at_a_camera_and_searched_at_another(trained, tmp_path, capsys):
    files = ["--gallery", str(tmp_path / "site.gallery"), "--key", str(tmp_path / "site.key")]
    model = ["--model", str(trained / "reid" / "reid.cpu_int8.tflite")]
    people = sorted((trained / "drawn/pictures/evaluation").iterdir())[:3]
    for folder in people:
        first_camera = [str(path) for path in sorted(folder.glob("*_c1s1_*.jpg"))]
        arguments = ["enrol", folder.name, *first_camera, "--allow-duplicate", *model, *files]
        assert edge_sdk.cli.main(arguments) == 0
    probe = Image.open(next(people[0].glob("*_c3s1_*.jpg")))
    assert probe.size == (64, 128)
    probe.save(tmp_path / "probe.png")
    capsys.readouterr()
    code = edge_sdk.cli.main(
        ["identify", str(tmp_path / "probe.png"), "--threshold", "0.99", "--json", *model, *files]
    )
    answer = capsys.readouterr().out
    assert code in (0, 1), answer  # a short training need not recognize, but it must answer
    assert json.loads(answer)
