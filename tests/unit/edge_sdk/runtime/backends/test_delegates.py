"""A delegate is used only if its outputs match the golden vectors."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from converters.graph.attach_card import with_card
from edge_sdk import Embedder
from edge_sdk.errors import BackendUnavailableError, ModelError
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backend_choice import DelegateWarning, choose_backend
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.testing import FakeBackend
from tests.conftest import build_network, card
from tests.trial_delegates import build_delegate

FACE = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)


def test_without_a_delegate_the_cpu_runs_and_nothing_is_asked(golden_model_path: Path) -> None:
    embedder = Embedder.open(golden_model_path)
    assert embedder.backend.device == "cpu"
    assert embedder.backend.runtime.startswith("ai-edge-litert ")
    assert embedder.backend.checked == embedder.backend.fallback == ""


def test_a_delegate_that_answers_every_face_alike_is_not_used(
    tmp_path: Path, golden_model_path: Path
) -> None:
    wrong = build_delegate(tmp_path)
    raw = LiteRtBackend(golden_model_path.read_bytes(), delegate=wrong)
    raw.invoke()
    assert set(raw.output_view().ravel().tolist()) == {7}, "the delegate runs, and reports no error"
    with pytest.warns(DelegateWarning, match="the same embedding for 4 different inputs; the CPU runs"):
        embedder = Embedder.open(golden_model_path, delegate=wrong)
    assert embedder.backend.device == "cpu"
    assert embedder.backend.fallback == f"{wrong}: the same embedding for 4 different inputs"
    assert embedder.backend.checked == "4 of 4 answers exact"
    np.testing.assert_array_equal(embedder.embed(FACE), Embedder.open(golden_model_path).embed(FACE))


def test_a_delegate_that_is_right_is_used(tmp_path: Path, golden_model_path: Path) -> None:
    right = build_delegate(tmp_path, "-DTAKE_NOTHING")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        embedder = Embedder.open(golden_model_path, delegate=right)
    assert embedder.backend.device == str(right)
    assert embedder.backend.checked.startswith("4 of 4 answers ")
    assert embedder.backend.fallback == ""
    np.testing.assert_allclose(embedder.embed(FACE), Embedder.open(golden_model_path).embed(FACE), atol=1e-6)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("-DNO_HARDWARE", "the delegate does not start"),
        ("-DREFUSE", "the interpreter refuses the network"),
    ],
)
def test_a_delegate_that_fails_leaves_it_to_the_cpu(
    tmp_path: Path, golden_model_path: Path, option: str, words: str
) -> None:
    with pytest.warns(DelegateWarning, match=words):
        embedder = Embedder.open(golden_model_path, delegate=build_delegate(tmp_path, option))
    assert embedder.backend.device == "cpu"
    assert embedder.embed(FACE).shape == (32,)


def test_a_missing_edge_tpu_says_what_to_install(golden_model_path: Path) -> None:
    with pytest.warns(DelegateWarning, match="libedgetpu.so.99: cannot be loaded: cannot open shared object"):
        embedder = Embedder.open(golden_model_path, delegate="libedgetpu.so.99")
    assert embedder.backend.device == "cpu"
    with pytest.raises(BackendUnavailableError) as raised:
        LiteRtBackend(golden_model_path.read_bytes(), delegate="libedgetpu.so.99")
    assert "libedgetpu1-std" in str(raised.value.hint)


def test_a_library_that_is_no_delegate_says_so(tmp_path: Path, golden_model_path: Path) -> None:
    library = build_delegate(tmp_path, source="int anything = 3;\n")
    with pytest.warns(DelegateWarning, match="expected a delegate, found a library without tflite_plugin"):
        Embedder.open(golden_model_path, delegate=library)
    text = tmp_path / "notes.txt"
    text.write_text("no library\n")
    with pytest.warns(DelegateWarning, match="notes.txt: cannot be loaded: "):
        Embedder.open(golden_model_path, delegate=text)


def test_a_card_without_vectors_cannot_vouch_for_a_delegate(tmp_path: Path, model_path: Path) -> None:
    with pytest.warns(DelegateWarning, match="no golden vectors to check it"):
        embedder = Embedder.open(model_path, delegate=build_delegate(tmp_path, "-DTAKE_NOTHING"))
    assert embedder.backend.device == "cpu"


def test_where_the_cpu_is_wrong_as_well_nothing_opens(tmp_path: Path, golden_model_path: Path) -> None:
    """With the vectors of another network, both the delegate and the CPU fail the check."""
    vectors = ModelFile.open(golden_model_path).card.golden
    file = tmp_path / "other.tflite"
    file.write_bytes(with_card(build_network(seed=9), card(golden=vectors)))
    with pytest.raises(ModelError, match="and on the CPU 4 of 4 answers are wrong"):
        Embedder.open(file, delegate=build_delegate(tmp_path))


def broken(real: LiteRtBackend, answer: np.ndarray | None) -> FakeBackend:
    def function(tensor: np.ndarray) -> np.ndarray:
        if answer is not None:
            return answer
        np.copyto(real.input_view(), tensor[:, ::-1])  # the image upside down
        real.invoke()
        return real.output_view().copy()

    return FakeBackend(function, input=real.input, output=real.output, runtime="npu 2", kernels="npu.so")


def golden_card(path: Path) -> ModelCard:
    return ModelFile.open(path).card


def test_a_delegate_that_turns_images_around_is_not_used(golden_model_path: Path) -> None:
    data = golden_model_path.read_bytes()

    def open_one(library: str | Path | None) -> Backend:
        real = LiteRtBackend(data)
        return real if library is None else broken(real, None)

    with pytest.warns(DelegateWarning, match=r"npu.so: . of 4 answers are wrong: off by \d+"):
        backend, status = choose_backend(open_one, golden_card(golden_model_path), "npu.so")
    assert isinstance(backend, LiteRtBackend)
    assert status.device == "cpu"


def test_a_file_that_only_the_accelerator_runs_is_refused_without_it(golden_model_path: Path) -> None:
    def open_one(library: str | Path | None) -> Backend:
        if library is None:
            raise ModelError("the interpreter refuses the network: unresolved custom op: edgetpu-custom-op")
        raise BackendUnavailableError(f"{library}: cannot be loaded: no such file")

    with pytest.raises(
        ModelError, match=r"no such file; and the CPU does not run the file: .*edgetpu"
    ) as raised:
        choose_backend(open_one, golden_card(golden_model_path), "libedgetpu.so.1")
    assert "was not compiled for it" in str(raised.value.hint)
