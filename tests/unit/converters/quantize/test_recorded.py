"""Recorded statistics are read exactly as they were written; damaged or edited ones give one clear error."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import ConversionError
from converters.quantize.int8 import quantize_int8
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.recorded import RecordedOutput, RecordedStatistics, Recording
from converters.quantize.saved_recipe import read_saved
from converters.quantize.statistics import TensorRange, channel_statistics
from edge_sdk.model.card import InputContract
from tests.networks import CONTRACT, NetworkBuilder, crops

CARD = {"images": 24, "available": 36, "sha256": "ab" * 32}
FIDELITY = {"cosine_mean": 0.99, "cosine_min": 0.9, "worst_image": "a.png", "images": 6, "held_out": True}
PLAIN = json.loads(json.dumps(shipped("cpu_int8").to_json()))


def coded(values: Any, dtype: str = "<f8") -> str:
    return base64.b64encode(np.asarray(values, dtype).tobytes()).decode()


def recording(**changes: Any) -> Recording:
    codes = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    output = RecordedOutput(codes, 0.5, -1, codes.astype(np.float32) / 3)
    statistics = RecordedStatistics(
        {"image": TensorRange(-1.0, 1.0), "x": TensorRange(-0.1, 1 / 3)},
        {"x": np.array([0.25, 1 / 3, 7.0])},
        {"x": np.array([-3, 0, 1 << 30], np.int32)},
    )
    values: dict[str, Any] = {
        "contract": CONTRACT, "statistics": statistics, "float_sha256": "01" * 32, "int8_sha256": "23" * 32,
        "calibration": CARD, "fidelity": FIDELITY, "outputs": {"embedding": output},
    }  # fmt: skip
    return Recording(**{**values, **changes})


def value() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(
        json.dumps({**PLAIN, "tools": {}, "source": {}, **recording().to_json()})
    )
    return whole


def test_what_is_written_is_read_exactly() -> None:
    saved = Recording.from_json(value())
    assert json.dumps(saved.to_json()) == json.dumps(recording().to_json())
    assert saved.statistics.ranges["x"].high == 1 / 3
    np.testing.assert_array_equal(saved.statistics.scales["x"], [0.25, 1 / 3, 7.0])
    assert saved.statistics.bias_corrections["x"].tolist() == [-3, 0, 1 << 30]
    np.testing.assert_array_equal(saved.outputs["embedding"].real[0], [-3.5, -3.0, -2.5, -2.0])


@pytest.mark.parametrize(
    ("where", "wrong", "message"),
    [
        (("ranges", "x"), [float("nan"), 1.0], "'x': expected the finite ends of a range"),
        (("ranges", "x"), [0.0, float("inf")], "'x': expected the finite ends of a range"),
        (("ranges", "x"), [1.0, -1.0], "in ascending order, found 1.0 and -1.0"),
        (("ranges", "x"), [1e300, 1e301], "expected the finite ends"),
        (("ranges", "x"), [0.0, 1e-60], "expected the finite ends"),
        (("ranges", "x"), [1.0], "'x': expected the two ends of a range"),
        (("ranges", "x"), ["0", 1], "'x': '0' is not a number"),
        (("ranges",), [], "'ranges': \\[\\] is not an object"),
        (("scales", "x"), coded([1.0, 0.0, 2.0]), "'x': expected scales of 1/1000 to 1000"),
        (("scales", "x"), coded([1.0, -1.0]), "'x': expected scales of 1/1000 to 1000"),
        (("scales", "x"), coded([1.0, 1e-30]), "as equalization makes them, found 1e-30 to 1"),
        (("scales", "x"), coded([1.0, float("nan")]), "'x': expected finite numbers"),
        (("scales", "x"), coded([1.0])[:-4], "'x': expected 1..1048576 values of 8 bytes, found"),
        (("scales", "x"), "", "'x': expected 1..1048576 values"),
        (("scales", "x"), "?", "'x': "),
        (("scales", "x"), [1.0], "'x': \\[1.0\\] is not text"),
        (("bias_corrections", "x"), "AAA=", "'x': expected 1..1048576 values of 4 bytes, found 2 bytes"),
        (("float_sha256",), "ab", "'float_sha256': expected 64 hexadecimal digits"),
        (("int8_sha256",), None, "'int8_sha256': None is not text"),
        (("fidelity", "cosine_mean"), float("nan"), "expected a cosine of -1..1, found 'cosine_mean': nan"),
        (("fidelity", "cosine_min"), 1.01, "expected a cosine of -1..1, found 'cosine_min': 1.01"),
        (("fidelity", "worst"), float("nan"), "expected finite figures, found 'worst'"),
        (("fidelity", "images"), 0, "expected 1 or more, found 0"),
        (("generator",), "other/1", "expected outputs for inputs of 'smooth-fields/1'"),
        (("outputs",), {}, "expected outputs for inputs of"),
        (("outputs", "embedding", "dtype"), "int4", "expected one of int8, uint8, float32"),
        (("outputs", "embedding", "inputs"), 3, "expected values for 3 inputs, found 16"),
        (("outputs", "embedding", "inputs"), 1 << 40, "expected 1..64 inputs"),
        (("outputs", "embedding", "float32"), coded([1.0] * 8, "<f4"), "as many values of the int8 network"),
        (("outputs", "embedding", "scale"), -1, "expected a scale of 0 or more"),
        (("outputs", "embedding", "zero_point"), 1000, "expected -128..255, found 1000"),
    ],
)  # fmt: skip
def test_an_edited_statistic_is_named(
    tmp_path: Path, where: tuple[str, ...], wrong: Any, message: str
) -> None:
    edited = value()
    place = edited["statistics"]
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = wrong
    path = tmp_path / "x.recipe.json"
    path.write_text(json.dumps(edited))
    with pytest.raises(ConversionError, match=message) as caught:
        read_saved(path)
    assert str(caught.value).startswith(str(path)) and caught.value.hint


@pytest.mark.parametrize(
    "key", ["ranges", "scales", "bias_corrections", "float_sha256", "fidelity", "outputs"]
)
def test_a_missing_field_is_named(key: str) -> None:
    edited = value()
    del edited["statistics"][key]
    with pytest.raises(ConversionError, match=f"expected the field '{key}', found none"):
        Recording.from_json(edited)


@pytest.mark.parametrize("change", [{"contract": {"size": 3}}, {"calibration": {}}, {"statistics": []}])
def test_what_belongs_to_the_statistics_is_checked_too(change: dict[str, Any]) -> None:
    with pytest.raises(ConversionError):
        Recording.from_json({**value(), **change})


def test_a_truncated_file_is_refused_at_every_length(tmp_path: Path) -> None:
    data = json.dumps(value()).encode()
    path = tmp_path / "x.recipe.json"
    for length in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:length])
        with pytest.raises(ConversionError, match="expected a recipe in JSON"):
            read_saved(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_other_value_in_any_place_is_read_or_refused(data: st.DataObject) -> None:
    edited = copy.deepcopy(value())
    place: Any = edited
    key: Any = data.draw(st.sampled_from(["statistics", "contract", "calibration"]))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(JSON)
    try:
        saved = Recording.from_json(edited)
    except ConversionError:
        return
    assert isinstance(saved.contract, InputContract)
    json.dumps(saved.to_json(), allow_nan=False)


@pytest.fixture(scope="module")
def quantized() -> tuple[Any, Recipe, RecordedStatistics]:
    net = NetworkBuilder(seed=4)
    x = net.prelu(net.conv(net.input, 8), np.linspace(-0.5, 2, 8))
    network = net.finish(net.embedding(net.conv(net.conv(x, 8), 16)))
    recipe = Recipe.from_json({**PLAIN, "equalize": "all", "bias_correction": True})
    statistics = channel_statistics(network, CONTRACT, crops(12))
    result = quantize_int8(network, recipe, statistics, CONTRACT, crops(12))
    return network, recipe, result.statistics


@pytest.mark.parametrize("what", ["ranges", "scales", "bias_corrections"])
@pytest.mark.parametrize("damage", ["missing", "unknown", "length"])
def test_statistics_that_do_not_fit_the_network_are_named(
    tmp_path: Path, quantized: tuple[Any, Recipe, RecordedStatistics], what: str, damage: str
) -> None:
    network, recipe, statistics = quantized
    edited = {
        **value(),
        **recipe.to_json(),
        "statistics": {**value()["statistics"], **json.loads(json.dumps(statistics.to_json()))},
    }
    named = edited["statistics"][what]
    name = next(iter(named))
    message = f"recipe: {what}: expected"
    if damage == "missing":
        del named[name]
    elif damage == "unknown":
        named["zebra"] = named[name]
        message = f"{what}: names the tensor 'zebra', which this network does not have"
    elif what == "ranges":
        return
    else:
        named[name] = coded([1, 2, 3], "<f8" if what == "scales" else "<i4")
    path = tmp_path / "x.recipe.json"
    path.write_text(json.dumps(edited))
    with pytest.raises(ConversionError, match=message) as caught:
        read_saved(path).replay(network)
    assert str(path) in str(caught.value)
