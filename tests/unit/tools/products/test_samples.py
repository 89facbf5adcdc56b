"""The sample pictures match their README, and the model reaches the figures on its card."""

import json
from pathlib import Path

import numpy as np
import pytest

from tools.products import dataset, open_set, samples
from tools.products.photos import CAREFUL, take_photo
from tools.products.settings import Settings
from tools.products.training import input_contract

SAMPLES = Path(__file__).parents[4] / "samples" / "products"
MODEL = SAMPLES / "model"


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((MODEL / "products.evaluation.json").read_text(encoding="utf-8"))


def test_the_contract_is_complete():
    contract = json.loads((MODEL / "products.contract.json").read_text(encoding="utf-8"))
    assert contract.pop("description")
    assert contract == {
        "size": [96, 96],
        "color": "rgb",
        "mean": 127.5,
        "scale": 128,
        "name": "products",
        "version": "2",
        "licence": "Apache-2.0",
    }


def test_the_folders_hold_what_the_readme_says():
    count = {folder: len(list((SAMPLES / folder).rglob("*.jpg"))) for folder in samples.FOLDERS}
    assert count == {"enrol": 10, "probes": 40, "strangers": 20, "calibration": 200, "evaluation": 480}
    total = sum(path.stat().st_size for path in SAMPLES.rglob("*.jpg"))
    assert total < 1_600_000


def test_the_committed_pictures_are_those_the_command_draws(evaluation):
    from tools.products.photos import develop

    settings = Settings(**evaluation["settings"])
    subject = dataset.enrolled_products(settings)[0]
    drawn = develop(take_photo(subject, 0, care=CAREFUL)).astype(int)
    stored = develop((SAMPLES / "enrol" / f"{subject.name}.jpg").read_bytes()).astype(int)
    # Another version of Pillow or libjpeg may round differently.
    assert np.abs(drawn - stored).mean() < 3


def test_the_model_file_carries_no_optimizer_and_stays_small(evaluation):
    import hashlib

    content = (MODEL / "products.keras").read_bytes()
    assert len(content) <= 2_000_000
    assert hashlib.sha256(content).hexdigest() == evaluation["sha256"]


def test_the_committed_model_reaches_its_card_s_figures(evaluation):
    keras = pytest.importorskip("keras")
    from edge_train.training.trainer import embed

    model = keras.saving.load_model(MODEL / "products.keras", compile=False)
    pictures, labels = samples.read_folder(SAMPLES / "evaluation")
    embeddings = embed(model, pictures, input_contract())
    figures = open_set.verification(embeddings, labels)
    assert figures["non_mated"] >= 100_000
    assert 0.90 <= figures["tar@0.001"] <= 0.995
    assert figures["tar@0.001"] == pytest.approx(evaluation["samples"]["tar@0.001"], abs=0.005)
    assert f"{100 * evaluation['samples']['tar@0.001']:.2f}%" in (MODEL / "products.md").read_text("utf-8")
