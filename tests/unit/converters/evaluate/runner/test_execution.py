"""What ran a network is part of its evidence, and embeddings of one are never taken for another's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.cli import main
from converters.data.samples import open_samples
from converters.evaluate.runner.compare import compare, open_artefacts
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Protocol, evaluate
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.identity import identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.workers import open_workers
from converters.evaluate.runner.write_card import CARD_FMRS, write_card
from converters.graph.attach_card import with_card
from converters.quantize.int8 import make_int8
from converters.quantize.recipe import shipped
from converters.quantize.statistics import channel_statistics
from converters.targets.finishing import finish_file
from edge_sdk import Embedder
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backend_choice import EvidenceWarning
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests import networks
from tests.conftest import build_network
from tests.labelled_images import contents, photo, write

REFERENCE = Execution("reference")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), contents(30, 4, noise=80))


@pytest.fixture
def deep(tmp_path: Path, make_card: Callable[..., ModelCard]) -> Path:
    """A network deep enough for LiteRT's two kernels to answer differently, for a microcontroller."""
    crops, float_network = networks.crops(24), networks.tiny(values=32)
    statistics = channel_statistics(float_network, networks.CONTRACT, crops)
    data = make_int8(float_network, shipped("microcontroller_int8"), statistics, networks.CONTRACT, crops)
    backend = LiteRtBackend(data)
    card = make_card(
        input=networks.CONTRACT,
        dimension=int(np.prod(backend.output.shape)),
        target="microcontroller",
        output_scale=backend.output.scale,
        output_zero_point=backend.output.zero_point,
    )
    path = tmp_path / "deep.microcontroller_int8.tflite"
    path.write_bytes(with_card(data, card))
    return path


def raw(artefact: OpenedArtefact) -> np.ndarray:
    embedder = artefact.embedder()
    return np.stack([embedder.embed(photo(subject, 1)) for subject in range(20)])


def test_a_file_is_measured_with_the_kernels_of_its_target(deep: Path, model_path: Path) -> None:
    assert open_artefact(deep).execution == REFERENCE
    assert open_artefact(model_path).execution == Execution("xnnpack")
    assert open_artefact(deep, execution=Execution("xnnpack")).execution.name == "xnnpack"


def test_the_kernels_that_are_named_are_the_ones_that_run(deep: Path) -> None:
    own, other = open_artefact(deep), open_artefact(deep, execution=Execution("xnnpack"))
    reference = LiteRtBackend(own.network, kernels="reference")
    embedder = Embedder(reference, own.card, model_id=bytes(32))
    expected = np.stack([embedder.embed(photo(subject, 1)) for subject in range(20)])
    assert np.array_equal(raw(own), expected)
    assert not np.array_equal(raw(own), raw(other))


def test_embeddings_of_one_are_not_taken_for_anothers(deep: Path, people: Path, tmp_path: Path) -> None:
    samples = open_samples(people)
    both = [open_artefact(deep, execution=execution) for execution in (REFERENCE, Execution())]
    assert both[0].key != both[1].key
    fresh = [embed_with(artefact, samples).vectors for artefact in both]
    for _ in range(2):  # the second time from the cache
        for artefact, vectors in zip(both, fresh, strict=True):
            assert np.array_equal(embed_with(artefact, samples, cache=tmp_path / "c").vectors, vectors)
    assert not np.array_equal(*fresh)


def test_processes_run_the_same_kernels(deep: Path, people: Path) -> None:
    samples = open_samples(people)
    artefact = open_artefact(deep)
    with open_workers(count=1) as workers:
        there = embed_with(artefact, samples, workers=workers)
    assert np.array_equal(there.vectors, embed_with(artefact, samples).vectors)


def test_a_file_can_be_held_against_itself_in_other_kernels(deep: Path, people: Path) -> None:
    artefacts = open_artefacts([deep, deep])
    found = compare(artefacts[0], artefacts[1:], open_samples(people), Protocol(replicates=20))
    assert (found.baseline.kernels, found.candidates[0].artefact.kernels) == ("xnnpack", "reference")
    assert found.candidates[0].cosine_min < 1
    assert "xnnpack kernels of ai-edge-litert" in found.to_text()
    assert "reference kernels of ai-edge-litert" in found.to_text()


def test_the_card_says_what_measured_it_and_the_device_says_where_another_runs(
    deep: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluate(open_artefact(deep), open_samples(people), Protocol(fmrs=CARD_FMRS, replicates=20))
    assert "measured with reference kernels of ai-edge-litert" in found.to_text()
    written = write_card(deep, found)
    assert "operating points, for reference kernels of ai-edge-litert" in written.to_text()
    card = ModelFile.open(deep).card
    assert {point.kernels for point in card.operating_points} == {"reference"}
    assert all(point.runtime.startswith("ai-edge-litert ") for point in card.operating_points)
    assert card.probability["kernels"] == "reference"
    with pytest.warns(EvidenceWarning, match="measured with reference, here xnnpack computes"):
        embedder = Embedder.open(deep)
    assert "reference" in embedder.backend.evidence
    from edge_sdk.cli import main as device

    assert device(["doctor", "--model", str(deep), "--json"]) in (0, 1)
    findings = json.loads(capsys.readouterr().out)["findings"]
    (warned,) = [f for f in findings if f["check"] == "operating points"]
    assert warned["status"] == "warn"
    assert "measured with reference, here xnnpack computes" in warned["found"]


def test_thresholds_of_what_runs_are_no_matter_for_a_warning(
    model_path: Path, people: Path, tmp_path: Path
) -> None:
    path = tmp_path / "door.tflite"
    path.write_bytes(model_path.read_bytes())
    write_card(
        path, evaluate(open_artefact(path), open_samples(people), Protocol(fmrs=CARD_FMRS, replicates=20))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Embedder.open(path).backend.evidence == ""


def test_finishing_says_where_thresholds_are_of_other_kernels(deep: Path, people: Path) -> None:
    samples, protocol = open_samples(people), Protocol(fmrs=CARD_FMRS, replicates=20)
    for execution, expected in ((Execution(), True), (None, False)):
        write_card(deep, evaluate(open_artefact(deep, execution=execution), samples, protocol))
        findings = finish_file(deep).section.parts[0].findings
        assert any(finding.rule == "thresholds-of-its-own-kernels" for finding in findings) is expected
        name = execution.name if execution else "reference"
        constants = (deep.parent / "deep_microcontroller_int8_constants.h").read_text()
        assert f"// measured with: {name} ai-edge-litert" in constants


def test_a_foreign_file_runs_as_it_is_told(tmp_path: Path, make_card: Callable[..., ModelCard]) -> None:
    path = tmp_path / "foreign.tflite"
    path.write_bytes(build_network())
    contract = make_card().input
    assert open_artefact(path, contract=contract).execution == Execution()
    found = open_artefact(path, contract=contract, execution=REFERENCE)
    assert identity_of(found).kernels == "reference"


def test_a_card_from_before_says_nothing_of_kernels(
    tmp_path: Path, make_model: Callable[..., bytes], make_evidence: Callable[..., object]
) -> None:
    path = tmp_path / "old.tflite"
    path.write_bytes(make_model(operating_points=(replace(make_evidence(), kernels=""),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Embedder.open(path).backend.evidence == ""


def test_the_command(
    deep: Path,
    people: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    found = {}
    for flags in ([], ["--kernels", "reference"], ["--kernels", "xnnpack"]):
        assert main(["evaluate", str(deep), "--images", str(people), "--json", *flags]) == 0
        found[tuple(flags)] = json.loads(capsys.readouterr().out)
    assert found[()] == found["--kernels", "reference"]
    assert found[()]["artefact"]["kernels"] == "reference"
    assert found["--kernels", "xnnpack"]["artefact"]["kernels"] == "xnnpack"
    points = [
        found[flags]["verification"]["points"][0]["threshold"] for flags in ((), ("--kernels", "xnnpack"))
    ]
    assert points[0] != points[1]
