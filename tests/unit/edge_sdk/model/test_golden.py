"""Golden vectors: inputs are equal on every machine, and every kind of wrong output is detected."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.analyze.golden_vectors import choose_most_different, make_golden_vectors
from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import MAX_CARD_BYTES, ModelCard
from edge_sdk.model.golden import GoldenVector, GoldenVectors, digest, smooth_field
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import GoldenVerdict, check
from edge_sdk.testing import FakeBackend
from tests import networks
from tests.conftest import build_network, card, contract

FIELD_1 = "fb5c460b8c1fa1de3f9e874442b6df85b6207d4738da55e3c5eb5857208de913"
FIELD_7 = "ecccbbc1f2a86d537ee789189ec9ecd52ba9799acf611bee1f9ad41622ea3deb"


def by_the_formula(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Compute the formula of docs/reference/model-card.md pixel by pixel in Python integers."""
    state, grid = seed, []
    for _ in range(25 * channels):
        state = (state * 1103515245 + 12345) % 2**31
        grid.append(state // 65536 % 256)
    image = np.empty((height, width, channels), np.uint8)
    for y in range(height):
        row, fy = divmod(y * 1024 // height, 256)
        for x in range(width):
            column, fx = divmod(x * 1024 // width, 256)
            for c in range(channels):
                a, b, d, e = (
                    grid[((row + i) * 5 + column + j) * channels + c] for i in (0, 1) for j in (0, 1)
                )
                above, below = a * (256 - fx) + b * fx, d * (256 - fx) + e * fx
                image[y, x, c] = (above * (256 - fy) + below * fy) // 65536
    return image


@pytest.mark.parametrize(("shape", "seed"), [((8, 8, 1), 0), ((33, 17, 3), 5), ((96, 112, 3), 2**31 - 1)])
def test_a_field_is_what_the_formula_says(shape: tuple[int, int, int], seed: int) -> None:
    np.testing.assert_array_equal(smooth_field(shape, seed), by_the_formula(*shape, seed))


def test_a_field_is_the_same_for_ever() -> None:
    """Existing cards contain seeds; a different field for the same seed would make every device fail its check."""
    assert digest(smooth_field((112, 112, 3), 1)) == FIELD_1
    assert digest(smooth_field((96, 96, 1), 7)) == FIELD_7


def golden(*, integer: bool = True, **changes: Any) -> GoldenVectors:
    return make_golden_vectors(build_network(integer=integer), contract(**changes))


@pytest.mark.parametrize("integer", [True, False])
def test_the_runtime_that_made_them_answers_exactly(integer: bool) -> None:
    network = build_network(integer=integer)
    vectors = make_golden_vectors(network, contract())
    result = check(LiteRtBackend(network.data), contract(), vectors)
    assert result.right
    assert result.message == "4 of 4 answers exact"
    assert vectors.runtime.startswith("ai-edge-litert ")
    assert vectors.dtype == ("int8" if integer else "float32")
    assert len({vector.output for vector in vectors.vectors}) == 4


def test_reference_kernels_are_another_runtime_within_its_own_tolerance() -> None:
    network = build_network()
    vectors = make_golden_vectors(network, contract())
    backend = LiteRtBackend(network.data, kernels="reference")
    assert backend.kernels == "reference"
    assert vectors.allowed(backend.runtime, "reference") == vectors.tolerance["other"] >= 5
    assert vectors.allowed(backend.runtime, "xnnpack") == 0
    assert vectors.allowed("ai-edge-litert 9.9.9", "xnnpack") == vectors.tolerance["other"]
    assert check(backend, contract(), vectors).right


def test_the_tolerance_of_other_kernels_covers_what_they_really_differ_by() -> None:
    """Kernels differ more in deeper networks, so the tolerance is measured for each file."""
    from converters.quantize.int8 import quantize_int8
    from converters.quantize.recipe import shipped
    from converters.quantize.statistics import channel_statistics

    crops, float_network = networks.crops(24), networks.tiny(values=16)
    statistics = channel_statistics(float_network, networks.CONTRACT, crops)
    network = quantize_int8(float_network, shipped("cpu_int8"), statistics, networks.CONTRACT, crops).network
    vectors = make_golden_vectors(network, networks.CONTRACT)
    assert check(LiteRtBackend(network.data, kernels="reference"), networks.CONTRACT, vectors).right
    assert check(LiteRtBackend(network.data), networks.CONTRACT, vectors).message == "4 of 4 answers exact"


def fake(
    answer: Callable[[np.ndarray, np.ndarray], np.ndarray], *, runtime: str = "broken 1", integer: bool = True
) -> FakeBackend:
    """Create a backend that runs the real network and then changes its output."""
    real = LiteRtBackend(build_network(integer=integer).data)

    def function(tensor: np.ndarray) -> np.ndarray:
        np.copyto(real.input_view(), tensor)
        real.invoke()
        return answer(real.output_view().copy(), tensor)

    return FakeBackend(function, input=real.input, output=real.output, runtime=runtime, kernels="xnnpack")


def test_the_same_embedding_for_every_input_is_wrong_whatever_the_tolerance() -> None:
    vectors = replace(golden(), tolerance={"same": 255.0, "other": 255.0})
    result = check(fake(lambda output, _: np.full_like(output, 7)), contract(), vectors)
    assert result.verdict is GoldenVerdict.CONSTANT
    assert result.message == "the same embedding for 4 different inputs"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda output, _: np.roll(output, 1),
        lambda output, _: np.zeros_like(output) + (output[0, 0] & 1),
        lambda output, _: -output,
        lambda output, _: np.random.default_rng(0).integers(-128, 128, output.shape).astype(np.int8),
    ],
    ids=["shifted", "nearly constant", "negated", "noise"],
)
def test_an_answer_that_is_not_the_networks_is_wrong(wrong: Callable[..., np.ndarray]) -> None:
    result = check(fake(wrong), contract(), golden())
    assert result.verdict in (GoldenVerdict.OFF, GoldenVerdict.CONSTANT)
    assert not result.right


def test_one_lsb_is_wrong_for_the_same_runtime_and_right_for_another() -> None:
    def off_by_one(output: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.where(output < 127, output + 1, output - 1).astype(np.int8)

    vectors = golden()
    other_runtime = check(fake(off_by_one), contract(), vectors)
    assert other_runtime.right
    assert (
        other_runtime.message == f"4 of 4 answers right, off by 1, allowed {vectors.tolerance['other']:g} LSB"
    )
    same_runtime = check(fake(off_by_one, runtime=vectors.runtime), contract(), vectors)
    assert same_runtime.verdict is GoldenVerdict.OFF
    assert same_runtime.message == "4 of 4 answers are wrong: off by 1, allowed 0 LSB"


@pytest.mark.parametrize(("share", "right"), [(1e-3, True), (0.1, False), (np.nan, False), (np.inf, False)])
def test_float_answers_are_held_against_their_own_size(share: float, right: bool) -> None:
    vectors = golden(integer=False)

    def off(output: np.ndarray, _: np.ndarray) -> np.ndarray:
        output[0, 0] += np.float32(share) * np.abs(output).max()
        return output

    assert check(fake(off, integer=False), contract(), vectors).right is right


def test_a_contract_with_the_channels_turned_around_gives_another_input() -> None:
    result = check(LiteRtBackend(build_network().data), contract(color="bgr"), golden())
    assert result.verdict is GoldenVerdict.OTHER_INPUT


def test_another_network_under_the_same_card_is_noticed() -> None:
    assert not check(LiteRtBackend(build_network(seed=1).data), contract(), golden()).right
    result = check(LiteRtBackend(build_network(dimension=16).data), contract(), golden())
    assert result.verdict is GoldenVerdict.OTHER_OUTPUT
    assert result.message == "expected 32 values of int8, found 16 of int8"


def test_inputs_that_only_a_newer_device_can_draw_say_so() -> None:
    vectors = replace(golden(), generator="smooth-fields/2")
    result = check(LiteRtBackend(build_network().data), contract(), vectors)
    assert result.verdict is GoldenVerdict.UNKNOWN
    assert "update edge-sdk" in result.message


def test_the_chosen_answers_are_the_ones_far_apart() -> None:
    rows = np.array([[0, 0], [1, 0], [100, 0], [0, 60], [99, 1], [2, 2]], np.int8)
    assert choose_most_different(rows, 3) == [0, 2, 3]
    assert choose_most_different(np.zeros((3, 2), np.int8), 1) == [0]


def test_they_travel_in_the_card_and_fit_it() -> None:
    vectors = golden()
    data = card(golden=vectors).to_bytes()
    assert ModelCard.from_bytes(data).golden == vectors
    assert ModelCard.from_bytes(data).to_bytes() == data
    widest = GoldenVector(1, "0" * 64, "0" * 64, bytes(4096 * 4))
    largest = replace(vectors, dtype="float32", vectors=(widest,) * 4)
    assert len(card(golden=largest).to_bytes()) < MAX_CARD_BYTES // 4


def test_a_card_from_before_them_is_read() -> None:
    value = json.loads(card().to_bytes())
    assert value.pop("golden") is None
    assert ModelCard.from_bytes(json.dumps(value).encode()).golden is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dtype": "float64"}, "expected an output dtype of int8"),
        ({"tolerance": {"same": 0.0}}, "tolerance 'other' of 0 or more, found -1"),
        ({"tolerance": {"same": -1.0, "other": 5.0}}, "tolerance 'same'"),
        ({"tolerance": {"same": "0", "other": 5.0}}, "'0' is not a number"),
        ({"tolerance": 5}, "malformed field"),
        ({"vectors": []}, "expected 1..16 vectors, found 0"),
        ({"vectors": [{}] * 17}, "expected a list of 1..16"),
        ({"vectors": [{"seed": 1}]}, "expected the field 'pixels_sha256'"),
        ({"vectors": "many"}, "expected a list"),
        ({"runtime": None}, "None is not text"),
        ({"generator": 3}, "3 is not text"),
    ],
)
def test_malformed_vectors_are_refused_with_the_card(change: dict[str, Any], words: str) -> None:
    value = json.loads(card(golden=golden()).to_bytes())
    value["golden"].update(change)
    with pytest.raises(ModelCardError, match=words):
        ModelCard.from_bytes(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output": "not base64!"}, "malformed field"),
        ({"output": ""}, "outputs of one length"),
        ({"seed": True}, "True is not a seed"),
        ({"seed": -1}, "-1 is not a seed"),
        ({"seed": 2**31}, "is not a seed"),
        ({"input_sha256": 5}, "5 is not text"),
    ],
)
def test_a_malformed_vector_is_refused(change: dict[str, Any], words: str) -> None:
    value = json.loads(card(golden=golden()).to_bytes())
    value["golden"]["vectors"][0].update(change)
    with pytest.raises(ModelCardError, match=words):
        ModelCard.from_bytes(json.dumps(value).encode())


def test_a_grey_network_has_them_too() -> None:
    grey = contract(color="gray")
    network = build_network(channels=1)
    vectors = make_golden_vectors(network, grey)
    assert check(LiteRtBackend(network.data), grey, vectors).right


def test_the_file_alone_is_enough(golden_model_path: Path) -> None:
    """Check the vectors as a phone does: with the network, the card's JSON and the formula, without this SDK."""
    from ai_edge_litert.interpreter import Interpreter

    network, files = split(golden_model_path.read_bytes())
    value = json.loads(files["model-card.json"])
    interpreter = Interpreter(model_content=network, num_threads=1)
    interpreter.allocate_tensors()
    image, embedding = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for vector in value["golden"]["vectors"]:
        pixels = by_the_formula(96, 96, 3, vector["seed"])
        interpreter.set_tensor(image["index"], (pixels.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        assert interpreter.get_tensor(embedding["index"]).tobytes() == base64.b64decode(vector["output"])
