"""Model cards are read back unchanged; a malformed one is refused with the name of the field."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import MAX_CARD_BYTES, SCHEMA, InputContract, ModelCard

Make = Callable[..., Any]
POINTS = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))


@pytest.fixture(scope="module")
def whole(make_card: Make, make_contract: Make, make_evidence: Make) -> ModelCard:
    """Card with a value in every field."""
    return make_card(
        name="Größe μ",
        input=make_contract(alignment=POINTS, mean=(123.7, 116.3, 103.5), scale=(58.4, 57.1, 57.4)),
        network_sha256="ab" * 32,
        output_scale=0.0123,
        output_zero_point=-7,
        operating_points=(make_evidence(fnmr_interval=(0.01, 0.03)), make_evidence(fmr=1e-2)),
        recipe={"name": "cpu_int8", "steps": [1, {"a": None}]},
        calibration={"images": 200},
        source={"kind": "keras"},
        fidelity={"mean": 0.999},
    )


def test_a_card_comes_back_from_its_bytes_as_it_was(whole: ModelCard) -> None:
    assert ModelCard.from_bytes(whole.to_bytes()) == whole


def test_the_same_card_gives_the_same_bytes(whole: ModelCard) -> None:
    assert whole.to_bytes() == ModelCard.from_bytes(whole.to_bytes()).to_bytes()


def test_a_field_of_a_later_version_is_left_alone(whole: ModelCard) -> None:
    value = json.loads(whole.to_bytes())
    value["new"] = {"a": 1}
    value["input"]["new"] = 2
    value["embedding"]["new"] = 3
    value["operating_points"][0]["new"] = 4
    assert ModelCard.from_bytes(json.dumps(value).encode()) == whole


@pytest.mark.parametrize("schema", ["edge-sdk/model-card/2", "", None, 1])
def test_another_schema_is_refused_and_says_both(whole: ModelCard, schema: Any) -> None:
    value = {**json.loads(whole.to_bytes()), "schema": schema}
    with pytest.raises(ModelCardError, match=SCHEMA) as refused:
        ModelCard.from_bytes(json.dumps(value).encode())
    assert repr(schema) in str(refused.value)
    assert "convert it again" in (refused.value.hint or "")


def test_a_card_over_its_size_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(ModelCardError, match=f"at most {MAX_CARD_BYTES} bytes"):
        ModelCard.from_bytes(b" " * (MAX_CARD_BYTES + 1))


@pytest.mark.parametrize("depth", [20, 500, 5_000, 100_000])
def test_deep_nesting_is_refused(whole: ModelCard, depth: int) -> None:
    text = whole.to_bytes().decode().rstrip()[:-1] + ',"deep":' + '{"a":' * depth + "1" + "}" * depth + "}"
    with pytest.raises(ModelCardError):
        ModelCard.from_bytes(text.encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"card"', b"NaN", b"\x00" * 9])
def test_what_is_not_a_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ModelCardError, match="model card: expected"):
        ModelCard.from_bytes(data)


@pytest.mark.parametrize(
    "missing", ["name", "version", "target", "precision", "network_sha256", "input", "embedding"]
)
def test_a_missing_field_is_named(whole: ModelCard, missing: str) -> None:
    value = json.loads(whole.to_bytes())
    del value[missing]
    with pytest.raises(ModelCardError, match=missing):
        ModelCard.from_bytes(json.dumps(value).encode())


@pytest.mark.parametrize("dimension", [-1, 0, 1, 65536, 10**30, 2.5, True, "512", None])
def test_an_embedding_of_no_sensible_size_is_refused(whole: ModelCard, dimension: Any) -> None:
    value = json.loads(whole.to_bytes())
    value["embedding"]["dimension"] = dimension
    with pytest.raises(ModelCardError):
        ModelCard.from_bytes(json.dumps(value).encode())


def _paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [at, *(place for key, child in children for place in _paths(child, (*at, key)))]


def _replaced(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return value


NASTY = st.sampled_from(
    [10**400, float("inf"), float("nan"), 1e-320, 1e308, -1, "\ud800", "12", [[1, 2]] * 5]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NASTY,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_card_with_any_field_replaced_is_read_or_refused_as_a_card(
    whole: ModelCard, data: st.DataObject
) -> None:
    value = json.loads(whole.to_bytes())
    place = data.draw(st.sampled_from(_paths(value)))
    text = json.dumps(_replaced(value, place, data.draw(JSON)))
    try:
        card = ModelCard.from_bytes(text.encode())
    except ModelCardError:
        return
    assert ModelCard.from_bytes(card.to_bytes()) == card
    assert card.input.describe()


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_card_are_refused_as_a_card(data: bytes) -> None:
    with pytest.raises(ModelCardError):
        ModelCard.from_bytes(data)


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_json_that_is_no_contract_is_refused_as_a_contract(value: Any) -> None:
    with pytest.raises(ModelCardError):
        InputContract.from_json(value)


def _contract(**changes: Any) -> InputContract:
    value = {"size": [112, 96], "color": "rgb", "mean": 127.5, "scale": 128, **changes}
    return InputContract.from_json({key: entry for key, entry in value.items() if entry is not None})


def test_one_number_stands_for_every_channel() -> None:
    assert _contract() == _contract(mean=[127.5] * 3, scale=[128.0] * 3)
    assert _contract().shape == (112, 96, 3)


def test_height_and_width_say_the_same_as_size() -> None:
    assert _contract(size=None, height=112, width=96) == _contract()


def test_a_range_becomes_the_mean_and_scale_that_give_it() -> None:
    contract = _contract(mean=None, scale=None, range=[-1, 1])
    assert contract.mean == (127.5,) * 3
    assert contract.scale == (127.5,) * 3
    assert contract.real_range == (-1.0, 1.0)


def test_channels_have_their_own_normalization() -> None:
    contract = _contract(mean=[0, 10, 20], scale=[1, 2, 4])
    low, high = contract.real_range
    assert (low, high) == (-5.0, 255.0)
    assert InputContract.from_json(contract.to_json()) == contract


def test_alignment_points_survive_and_may_be_given_bare_or_named() -> None:
    named = _contract(alignment={"points": [list(point) for point in POINTS]})
    assert named.alignment == POINTS
    assert _contract(alignment=[list(point) for point in POINTS]) == named
    assert InputContract.from_json(named.to_json()) == named


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"range": [0, 255]}, "found both"),
        ({"mean": None, "scale": None}, "found neither"),
        ({"scale": None}, "found only mean"),
        ({"mean": None}, "found only scale"),
        ({"mean": None, "scale": None, "range": [1, 1]}, "low < high"),
        ({"mean": None, "scale": None, "range": [0, 1, 2]}, "normalization"),
        ({"mean": None, "scale": None, "range": "01"}, "normalization"),
        ({"mean": [1, 2]}, "expected 3 finite numbers for rgb"),
        ({"mean": "127.5"}, "expected numbers"),
        ({"mean": True}, "expected numbers"),
        ({"mean": 10**400}, "expected numbers"),
        ({"mean": float("nan")}, "finite"),
        ({"scale": 0}, "positive"),
        ({"scale": [1, 1, -1]}, "positive"),
        ({"scale": 1e-320}, "float32"),
        ({"color": "RGB"}, "expected one of rgb, bgr, gray, found 'RGB'"),
        ({"color": None}, "found None"),
        ({"color": ["rgb"]}, "color"),
        ({"color": "gray", "mean": [1, 2, 3]}, "expected 1 finite numbers for gray"),
        ({"size": [7, 96]}, "8..1024"),
        ({"size": [112, 1025]}, "8..1024"),
        ({"size": [112.0, 96]}, "whole number"),
        ({"size": [True, 96]}, "size"),
        ({"size": "112x96"}, "size"),
        ({"size": None}, "height"),
        ({"alignment": [[1, 2]] * 4}, "5 points"),
        ({"alignment": [[1, 2, 3]] * 5}, "5 points"),
        ({"alignment": {"point": []}}, "5 points"),
        ({"alignment": [[1, float("inf")]] * 5}, "5 points"),
    ],
)
def test_a_contract_that_is_malformed_or_contradicts_itself_is_refused(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ModelCardError, match="(?i)" + says):
        _contract(**changes)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "112x96 rgb, (pixel - 127.5) / 128"),
        ({"mean": None, "scale": None, "range": [0, 255]}, "112x96 rgb, pixels 0..255 as they are"),
        ({"color": "gray"}, "112x96 gray, (pixel - 127.5) / 128"),
        ({"color": "bgr", "mean": [1, 2, 3.5]}, "112x96 bgr, (pixel - [1, 2, 3.5]) / 128"),
    ],
)
def test_a_contract_is_one_line_for_a_person(changes: dict[str, Any], line: str) -> None:
    assert _contract(**changes).describe() == line


def test_a_refusal_is_a_model_error_and_a_value_error() -> None:
    assert issubclass(ModelCardError, ModelError)
    assert issubclass(ModelCardError, ValueError)


def test_a_contract_that_says_two_sizes_is_refused() -> None:
    value = {"size": [112, 96], "height": 96, "width": 112, "color": "rgb", "range": [0, 255]}
    with pytest.raises(ModelCardError, match="expected one size"):
        InputContract.from_json(value)
    assert InputContract.from_json({**value, "height": 112, "width": 96}).shape == (112, 96, 3)
