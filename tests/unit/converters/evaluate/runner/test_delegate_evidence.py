"""Evidence measured on a delegate: it names the delegate, and is refused if the CPU would compute instead."""

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
from converters.errors import ConversionError
from converters.evaluate.runner.compare import compare
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import evaluate
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.open_artefact import open_artefact
from converters.evaluate.runner.workers import open_workers
from converters.graph.attach_card import card_behind
from edge_sdk import Embedder
from edge_sdk.errors import BackendUnavailableError, ModelError
from edge_sdk.model.model_file import ModelFile, split
from edge_sdk.runtime.backend_choice import EvidenceWarning
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests.conftest import in_process
from tests.labelled_images import contents, photo, write
from tests.trial_delegates import build_delegate


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("people"), contents(30, 4, noise=80))


@pytest.fixture(scope="module")
def npu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delegate that computes the whole network and rounds down; the CPU rounds to nearest."""
    return build_delegate(tmp_path_factory.mktemp("npu"), "-DCOMPUTE")


@pytest.fixture
def model(tmp_path: Path, golden_model_path: Path) -> Path:
    path = tmp_path / "door.edgetpu_int8.tflite"
    path.write_bytes(golden_model_path.read_bytes())
    return path


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))

    def command(*arguments: object) -> tuple[int, str, str]:
        done = in_process(main, arguments, capsys)
        return done.code, done.out, done.err

    return command


def test_the_delegate_computes_the_embeddings(model: Path, npu: Path) -> None:
    through, on_cpu = open_artefact(model, execution=Execution(delegate=str(npu))), open_artefact(model)
    backend = LiteRtBackend(through.network.data, delegate=npu)
    expected = Embedder(backend, through.card, model_id=bytes(32))
    images = [photo(subject, 1) for subject in range(10)]
    embeddings = np.stack([through.embedder().embed(image) for image in images])
    assert np.array_equal(embeddings, np.stack([expected.embed(image) for image in images]))
    assert not np.array_equal(embeddings, np.stack([on_cpu.embedder().embed(image) for image in images]))
    assert any("golden vectors through the delegate: 4 of 4 answers right" in note for note in through.notes)


def test_options_reach_the_delegate_and_the_evidence(model: Path, npu: Path) -> None:
    execution = Execution(delegate=str(npu), options=(("rounding", "nearest"),))
    assert execution.name == f"{npu.name} rounding=nearest"

    def embedded(execution: Execution) -> np.ndarray:
        embedder = open_artefact(model, execution=execution).embedder()
        return np.stack([embedder.embed(photo(subject, 1)) for subject in range(10)])

    assert not np.array_equal(embedded(Execution(delegate=str(npu))), embedded(execution))
    with pytest.raises(BackendUnavailableError, match="unknown option"):
        open_artefact(model, execution=Execution(delegate=str(npu), options=(("colour", "red"),)))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("-DTAKE_NOTHING", "takes no part of this network, so the CPU would be measured"),
        ("-DTAKE_ALL", "the same embedding for 4 different inputs"),
        ("-DNO_HARDWARE", "the delegate does not start"),
        ("-DREFUSE", "the interpreter refuses the network"),
    ],
)
def test_a_delegate_is_never_replaced_by_the_cpu(
    model: Path, tmp_path: Path, option: str, message: str
) -> None:
    library = build_delegate(tmp_path, option)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises((ModelError, BackendUnavailableError), match=message):
            open_artefact(model, execution=Execution(delegate=str(library)))


def test_a_missing_edge_tpu_is_an_error_with_an_install_hint(
    run: Callable[..., tuple[int, str, str]], model: Path, people: Path
) -> None:
    before = model.read_bytes()
    code, out, err = run(
        "evaluate", model, "--images", people, "--write-card", "--delegate", "libedgetpu.so.99"
    )
    assert (code, out) == (3, "")
    assert "edge-convert: error: libedgetpu.so.99: cannot be loaded" in err
    assert "libedgetpu1-std" in err
    assert model.read_bytes() == before


def test_embeddings_of_a_delegate_are_not_cached(
    model: Path, npu: Path, people: Path, tmp_path: Path
) -> None:
    samples, cache = open_samples(people), tmp_path / "cache"
    embed_with(open_artefact(model, execution=Execution(delegate=str(npu))), samples, cache=cache)
    assert not list(tmp_path.glob("cache/**/*.embeddings"))
    embed_with(open_artefact(model), samples, cache=cache)
    assert list(tmp_path.glob("cache/**/*.embeddings"))


def test_the_card_names_the_delegate_and_the_device_checks_it(
    run: Callable[..., tuple[int, str, str]], model: Path, npu: Path, people: Path
) -> None:
    _, cpu, _ = run("evaluate", model, "--images", people, "--json")
    code, out, _ = run("evaluate", model, "--images", people, "--json", "--write-card", "--delegate", npu)
    assert code == 0
    evaluation = json.loads(out)
    assert evaluation["artefact"]["kernels"] == npu.name
    assert str(npu.parent) not in out
    own, other = (value["verification"]["points"][0]["threshold"] for value in (evaluation, json.loads(cpu)))
    assert own != other
    points = ModelFile.open(model).card.operating_points
    assert {point.kernels for point in points} == {npu.name}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder = Embedder.open(model, delegate=npu)
    assert embedder.backend.device == str(npu)
    assert embedder.backend.evidence == ""
    with pytest.warns(EvidenceWarning, match=f"measured with {npu.name}, but xnnpack is used here"):
        assert Embedder.open(model).backend.evidence


def test_other_delegate_options_on_the_device_give_a_warning(
    run: Callable[..., tuple[int, str, str]], model: Path, npu: Path, people: Path
) -> None:
    option = "rounding=nearest"
    run("evaluate", model, "--images", people, "--write-card", "--delegate", npu, "--delegate-option", option)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedder.open(model, delegate=npu, delegate_options={"rounding": "nearest"})
    with pytest.warns(
        EvidenceWarning, match=f"measured with {npu.name} {option}, but {npu.name} is used here"
    ):
        Embedder.open(model, delegate=npu)


def test_a_delegate_with_thresholds_of_the_cpu_gives_a_warning(
    run: Callable[..., tuple[int, str, str]], model: Path, npu: Path, people: Path
) -> None:
    run("evaluate", model, "--images", people, "--write-card")
    with pytest.warns(EvidenceWarning, match=f"measured with xnnpack, but {npu.name} is used here"):
        assert Embedder.open(model, delegate=npu).backend.device == str(npu)


def test_a_card_without_golden_vectors_is_measured_with_a_note(
    model: Path, npu: Path, tmp_path: Path
) -> None:
    file = ModelFile.open(model)
    path = tmp_path / "bare.tflite"
    path.write_bytes(card_behind(split(file.data)[0], replace(file.card, golden=None)))
    artefact = open_artefact(path, execution=Execution(delegate=str(npu)))
    assert any("no golden vectors" in note for note in artefact.notes)


def test_compare_delegate_and_cpu(
    run: Callable[..., tuple[int, str, str]], model: Path, npu: Path, people: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    code, out, _ = run(
        "compare", model, model, "--images", people, "--delegate", npu, "--json", "--report", page
    )
    assert code == 0
    value = json.loads(out)
    assert value["baseline"]["kernels"] == "xnnpack"
    assert value["candidates"][0]["artefact"]["kernels"] == npu.name
    assert value["cosine_min"] < 1
    text = page.read_text()
    assert f"TAR of {npu.name}" in text
    assert f"{npu.name} in ai-edge-litert" in text
    assert "as float" not in text  # the first file is not a float file here


def test_the_library_refuses_the_same_contradictions(model: Path, npu: Path, people: Path) -> None:
    with pytest.raises(ConversionError, match="expected a delegate for the delegate options"):
        Execution(options=(("a", "b"),))
    with pytest.raises(ConversionError, match="kernels or a delegate, found both"):
        Execution("reference", delegate="x.so")
    artefact, samples = open_artefact(model, execution=Execution(delegate=str(npu))), open_samples(people)
    with open_workers(count=1) as workers:
        with pytest.raises(ConversionError, match="from one process"):
            evaluate(artefact, samples, workers=workers)
        with pytest.raises(ConversionError, match="from one process"):
            compare(open_artefact(model), [artefact], samples, workers=workers)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--delegate-option", "a=b"), "expected a delegate for the delegate options"),
        (("--delegate", "x.so", "--kernels", "reference"), "kernels or a delegate, found both"),
        (("--delegate", "x.so", "--workers", "2"), "from one process"),
        (("--delegate", "x.so", "--delegate-option", "fast"), "expected NAME=VALUE"),
    ],
)
def test_contradictions_are_usage_errors(
    run: Callable[..., tuple[int, str, str]], model: Path, people: Path, flags: tuple[str, ...], message: str
) -> None:
    for command in (("evaluate", model), ("compare", model, model)):
        code, _, err = run(*command, "--images", people, *flags)
        assert code == 2
        assert message in err
