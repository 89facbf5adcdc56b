"""Kernels are part of the evidence, and the embeddings of different kernels are kept apart."""

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
from converters.quantize.int8 import quantize_int8
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
    """A network for a microcontroller, deep enough that XNNPACK and the reference kernels give different embeddings."""
    crops, float_network = networks.crops(24), networks.tiny(values=32)
    statistics = channel_statistics(float_network, networks.CONTRACT, crops)
    data = quantize_int8(
        float_network, shipped("microcontroller_int8"), statistics, networks.CONTRACT, crops
    ).network
    backend = LiteRtBackend(data.data)
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


def embeddings_of(artefact: OpenedArtefact) -> np.ndarray:
    embedder = artefact.embedder()
    return np.stack([embedder.embed(photo(subject, 1)) for subject in range(20)])


def test_a_file_is_measured_with_the_kernels_of_its_target(deep: Path, model_path: Path) -> None:
    assert open_artefact(deep).execution == REFERENCE
    assert open_artefact(model_path).execution == Execution("xnnpack")
    assert open_artefact(deep, execution=Execution("xnnpack")).execution.name == "xnnpack"


def test_the_named_kernels_run(deep: Path) -> None:
    own, other = open_artefact(deep), open_artefact(deep, execution=Execution("xnnpack"))
    reference = LiteRtBackend(own.network.data, kernels="reference")
    embedder = Embedder(reference, own.card, model_id=bytes(32))
    expected = np.stack([embedder.embed(photo(subject, 1)) for subject in range(20)])
    assert np.array_equal(embeddings_of(own), expected)
    assert not np.array_equal(embeddings_of(own), embeddings_of(other))


def test_the_cache_separates_kernels(deep: Path, people: Path, tmp_path: Path) -> None:
    samples = open_samples(people)
    both = [open_artefact(deep, execution=execution) for execution in (REFERENCE, Execution())]
    assert both[0].key != both[1].key
    fresh = [embed_with(artefact, samples).vectors for artefact in both]
    for _ in range(2):  # the second pass reads the embeddings from the cache
        for artefact, vectors in zip(both, fresh, strict=True):
            assert np.array_equal(embed_with(artefact, samples, cache=tmp_path / "c").vectors, vectors)
    assert not np.array_equal(*fresh)


def test_processes_run_the_same_kernels(deep: Path, people: Path) -> None:
    samples = open_samples(people)
    artefact = open_artefact(deep)
    with open_workers(count=1) as workers:
        there = embed_with(artefact, samples, workers=workers)
    assert np.array_equal(there.vectors, embed_with(artefact, samples).vectors)


def test_a_file_can_be_compared_with_itself_on_other_kernels(deep: Path, people: Path) -> None:
    artefacts = open_artefacts([deep, deep])
    comparison = compare(artefacts[0], artefacts[1:], open_samples(people), Protocol(replicates=20))
    assert (comparison.baseline.kernels, comparison.candidates[0].artefact.kernels) == (
        "xnnpack",
        "reference",
    )
    assert comparison.candidates[0].cosine_min < 1
    assert "xnnpack kernels of ai-edge-litert" in comparison.to_text()
    assert "reference kernels of ai-edge-litert" in comparison.to_text()


def test_the_card_names_its_kernels_and_the_device_warns_of_others(
    deep: Path, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation = evaluate(open_artefact(deep), open_samples(people), Protocol(fmrs=CARD_FMRS, replicates=20))
    assert "measured with reference kernels of ai-edge-litert" in evaluation.to_text()
    written = write_card(deep, evaluation)
    assert "operating points, for reference kernels of ai-edge-litert" in written.to_text()
    card = ModelFile.open(deep).card
    assert {point.kernels for point in card.operating_points} == {"reference"}
    assert all(point.runtime.startswith("ai-edge-litert ") for point in card.operating_points)
    assert card.probability["kernels"] == "reference"
    with pytest.warns(EvidenceWarning, match="measured with reference, but xnnpack is used here"):
        embedder = Embedder.open(deep)
    assert "reference" in embedder.backend.evidence
    from edge_sdk.cli import main as device

    assert device(["doctor", "--model", str(deep), "--json"]) in (0, 1)
    findings = json.loads(capsys.readouterr().out)["findings"]
    (warned,) = [f for f in findings if f["check"] == "operating points"]
    assert warned["status"] == "warn"
    assert "measured with reference, but xnnpack is used here" in warned["found"]


def test_thresholds_of_the_running_kernels_give_no_warning(
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


def test_finishing_reports_thresholds_of_other_kernels(deep: Path, people: Path) -> None:
    samples, protocol = open_samples(people), Protocol(fmrs=CARD_FMRS, replicates=20)
    for execution, expected in ((Execution(), True), (None, False)):
        write_card(deep, evaluate(open_artefact(deep, execution=execution), samples, protocol))
        findings = finish_file(deep).section.parts[0].findings
        assert any(finding.rule == "thresholds-of-its-own-kernels" for finding in findings) is expected
        name = execution.name if execution else "reference"
        constants = (deep.parent / "deep_microcontroller_int8_constants.h").read_text()
        assert f"// measured with: {name} ai-edge-litert" in constants


def test_a_file_without_a_card_runs_with_the_given_kernels(
    tmp_path: Path, make_card: Callable[..., ModelCard]
) -> None:
    path = tmp_path / "bare.tflite"
    path.write_bytes(build_network().data)
    contract = make_card().input
    assert open_artefact(path, contract=contract).execution == Execution()
    artefact = open_artefact(path, contract=contract, execution=REFERENCE)
    assert identity_of(artefact).kernels == "reference"


def test_an_old_card_without_kernels_gives_no_warning(
    tmp_path: Path, make_model: Callable[..., bytes], make_evidence: Callable[..., object]
) -> None:
    path = tmp_path / "old.tflite"
    path.write_bytes(make_model(operating_points=(replace(make_evidence(), kernels=""),)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Embedder.open(path).backend.evidence == ""


def test_the_command_selects_kernels(
    deep: Path,
    people: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    evaluations = {}
    for flags in ([], ["--kernels", "reference"], ["--kernels", "xnnpack"]):
        assert main(["evaluate", str(deep), "--images", str(people), "--json", *flags]) == 0
        evaluations[tuple(flags)] = json.loads(capsys.readouterr().out)
    assert evaluations[()] == evaluations["--kernels", "reference"]
    assert evaluations[()]["artefact"]["kernels"] == "reference"
    assert evaluations["--kernels", "xnnpack"]["artefact"]["kernels"] == "xnnpack"
    points = [
        evaluations[flags]["verification"]["points"][0]["threshold"]
        for flags in ((), ("--kernels", "xnnpack"))
    ]
    assert points[0] != points[1]
