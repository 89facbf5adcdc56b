"""A kit of a user's own networks: what it contains, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from converters.errors import ConversionError, OptionsError
from converters.graph.attach_card import with_card
from converters.kit.own import OwnKit, bundle_own
from edge_sdk.errors import EdgeSdkError, ModelCardError, ModelError
from edge_sdk.kit import KitFile, Role
from edge_sdk.model.model_file import ModelFile
from tests.conftest import build_model, build_network, card, evidence
from tests.face_networks import write_detector


def kit(embedder: Path, **changes: object) -> OwnKit:
    values = {"name": "office", "embedder": embedder, "licence": "internal use only", **changes}
    return OwnKit(**values)


def test_the_kit_holds_the_network_its_licence_and_a_report(
    model_with_evidence: Path, tmp_path: Path
) -> None:
    result = bundle_own(kit(model_with_evidence), tmp_path / "kit")
    opened = KitFile.open(tmp_path / "kit" / "office.edgekit")
    assert opened.manifest == result.kit.manifest
    assert opened.read(opened.manifest.embedder) == model_with_evidence.read_bytes()
    assert (opened.manifest.fpir, opened.manifest.limits) == (0.01, ("for tests",))
    texts = {member.file: opened.read(member) for member in opened.manifest.of(Role.LICENCE)}
    assert texts == {"licence.txt": b"internal use only\n"}
    (report,) = opened.manifest.of(Role.REPORT)
    assert opened.read(report) == (tmp_path / "kit" / "office.kit.html").read_bytes()
    assert hashlib.sha256(opened.path.read_bytes()).hexdigest() == result.sha256
    assert "FPIR     0.01 for up to 10 templates" in result.to_text()
    assert result.to_json()["manifest"]["name"] == "office"


def test_a_kit_with_a_detector_states_that_its_rates_were_measured_without_it(
    model_with_evidence: Path, tmp_path: Path
) -> None:
    detector = write_detector(tmp_path / "detector.tflite")
    result = bundle_own(kit(model_with_evidence, detector=detector), tmp_path / "kit")
    assert any("not with this kit's detector" in limit for limit in result.kit.manifest.limits)


def test_the_same_files_give_the_same_bytes(model_with_evidence: Path, tmp_path: Path) -> None:
    first, second = (
        bundle_own(kit(model_with_evidence), tmp_path / name).kit.path.read_bytes() for name in "ab"
    )
    assert first == second


def test_an_embedder_without_evidence_is_refused_unless_allowed(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelCardError, match="expected operating points") as error:
        bundle_own(kit(model_path), tmp_path / "kit")
    assert "--write-card" in (error.value.hint or "")
    assert not list(tmp_path.iterdir())
    result = bundle_own(kit(model_path, allow_no_evidence=True), tmp_path / "kit")
    assert result.kit.manifest.fpir is None
    assert "none: the card's operating points support none" in result.to_text()


def test_a_kit_is_refused_before_anything_is_written(model_with_evidence: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(b"0000TFL3" + bytes(100))
    detector = write_detector(tmp_path / "detector.tflite")
    cases: list[tuple[dict[str, object], type[EdgeSdkError]]] = [
        ({"embedder": tmp_path / "missing.tflite"}, ModelError),
        ({"embedder": other}, ModelCardError),
        ({"detector": other}, ModelCardError),
        ({"detector": detector, "liveness": (other,)}, ModelCardError),
        ({"name": "../office"}, ModelCardError),
        ({"name": "Office"}, ModelCardError),
    ]
    for changes, error in cases:
        with pytest.raises(error):
            bundle_own(kit(**{"embedder": model_with_evidence, **changes}), tmp_path / "kit")
    assert {path.name for path in tmp_path.iterdir()} == {"other.tflite", "detector.tflite"}


@pytest.mark.parametrize(
    "changes", [{"licence": " \n"}, {"detector": Path("face.tflite")}, {"liveness": (Path("pad.tflite"),)}]
)
def test_contradicting_options_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(OptionsError):
        kit(Path("face.tflite"), **changes)


def test_an_output_that_cannot_be_written_is_one_error(model_with_evidence: Path, tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("a file")
    with pytest.raises(ConversionError, match="expected a folder"):
        bundle_own(kit(model_with_evidence), tmp_path / "kit")


def test_a_network_with_wrong_answers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.tflite"
    path.write_bytes(build_model(golden=True))
    golden = ModelFile.open(path).card.golden
    path.write_bytes(with_card(build_network(seed=1), card(golden=golden, operating_points=(evidence(),))))
    with pytest.raises(ConversionError, match="answers are wrong"):
        bundle_own(kit(path), tmp_path / "kit")
