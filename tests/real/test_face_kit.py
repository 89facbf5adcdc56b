"""The face kit: built from public files without images, byte for byte, with evidence that the same files reproduce."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from converters.data.samples import SampleSet, open_samples
from converters.evaluate.runner.embed_images import embed_samples
from converters.kit.build import build_kit
from converters.kit.definition import FACE
from converters.kit.evidence import read_evidence, supported_rate
from converters.kit.networks import choose_entry
from converters.quantize.saved_recipe import read_saved
from edge_sdk import Embedder, zoo
from edge_sdk.kit import KitFile, Role
from edge_sdk.recognizer.sampling import Sampler
from edge_sdk.vision.detector import Detector
from tools import kit_evidence, kit_recipes

pytestmark = pytest.mark.real

EVIDENCE = read_evidence(FACE.evidence)


@pytest.fixture(scope="module")
def installed(face_kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the members of the kit."""
    folder = tmp_path_factory.mktemp("installed")
    kit = KitFile.open(face_kit)
    for member in kit.manifest.members:
        (folder / member.file).write_bytes(kit.read(member))
    return folder


def first(samples: SampleSet, count: int) -> SampleSet:
    return replace(samples, samples=samples.samples[:count])


def test_the_kit_has_all_networks_of_a_door_with_licences_and_limits(face_kit: Path) -> None:
    kit = KitFile.open(face_kit)
    assert [
        member.file for member in kit.manifest.members if member.role not in (Role.LICENCE, Role.REPORT)
    ] == [
        "face.tflite",
        "detector.tflite",
        "pad_2.7.tflite",
        "pad_4.0.tflite",
    ]
    for member in (kit.manifest.embedder, kit.manifest.detector, *kit.manifest.liveness):
        assert member is not None
        assert zoo.by_digest(member.source_sha256) is not None
        assert member.licence == "Apache-2.0"
    assert "not stated" in kit.manifest.embedder.licence_note
    assert [member.file for member in kit.manifest.of(Role.LICENCE)] == [
        "licence.apache-2.0.txt",
        "notice.txt",
    ]
    assert kit.manifest.fpir == 1e-3
    assert len(kit.manifest.limits) == 4
    assert face_kit.stat().st_size < 16e6


def test_the_embedder_carries_the_evidence_that_was_measured_with_it(installed: Path) -> None:
    card = Embedder.open(installed / "face.tflite").card
    assert card.operating_points == EVIDENCE.operating_points
    assert card.non_mated_scores == EVIDENCE.non_mated_scores
    assert EVIDENCE.is_of(card)


def test_evidence_and_recipes_belong_together() -> None:
    recipe = FACE.embedder.recipe
    assert recipe is not None
    recording = read_saved(recipe).recording
    assert recording is not None
    assert recording.int8_sha256 == EVIDENCE.recorded_sha256
    rate = supported_rate(EVIDENCE.operating_points)
    assert rate is not None
    assert (rate.fpir, rate.templates) == (1e-3, 50)
    for protocol in EVIDENCE.protocols.values():
        for row in protocol["at_card_thresholds"]:
            assert row["fmr"] <= row["fmr_claimed"]


def test_the_first_scores_of_both_protocols_are_those_of_the_evidence(installed: Path, shared: Path) -> None:
    """A cheap part of the measurement; other processors may round a score differently by about 0.01."""
    embedder = Embedder.open(installed / "face.tflite")
    detector = Detector.open(installed / "detector.tflite")
    door = kit_evidence.Door(Sampler(detector, embedder), detector, Counter())
    crops = open_samples(shared / "faces" / "lfw_devtest_aligned112.tar")
    photographs = open_samples(shared / "faces" / "lfw_devtest_raw250.tar")
    count = kit_evidence.FIRST_IMAGES
    for name, embedded in (
        ("aligned crops", embed_samples(first(crops, count), embedder.embed)),
        ("end to end", embed_samples(first(photographs, count + 5), door.embed)),
    ):
        scores = kit_evidence.first_scores(embedded)
        assert scores == pytest.approx(EVIDENCE.protocols[name]["first_scores"], abs=0.02), name


@pytest.mark.slow
def test_the_whole_evidence_is_reproduced(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
    faces = shared / "faces"
    output = tmp_path / "face.json"
    sources = [
        "--crops",
        faces / "lfw_devtest_aligned112.tar",
        "--photographs",
        faces / "lfw_devtest_raw250.tar",
    ]
    assert kit_evidence.main([*map(str, sources), "--output", str(output)]) == 0
    assert json.loads(output.read_text()) == json.loads(FACE.evidence.read_text())


@pytest.mark.slow
def test_the_recipes_are_reproduced(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
    crops = shared / "faces" / "lfw_calibration_aligned112.tar"
    assert kit_recipes.main(["--crops", str(crops), "--output", str(tmp_path)]) == 0
    for network in FACE.networks:
        if network.recipe is not None:
            assert (tmp_path / network.recipe.name).read_bytes() == network.recipe.read_bytes()


@pytest.mark.slow
def test_the_kit_has_the_same_bytes_again_whatever_the_names_in_the_mirror(
    face_kit: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for number, network in enumerate(FACE.networks):
        monkeypatch.setenv(zoo.MIRROR, str(shared / "zoo"))
        source = zoo.path(choose_entry(network))
        (mirror / f"{number}.bin").write_bytes(source.read_bytes())
    monkeypatch.setenv(zoo.MIRROR, mirror.as_uri())
    again = build_kit(FACE, tmp_path / "kit", accept=lambda terms: True)
    assert again.sha256 == hashlib.sha256(face_kit.read_bytes()).hexdigest()
