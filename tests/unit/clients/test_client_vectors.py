"""The committed vectors are what the SDK computes, and cover the cases in which clients differ."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check
from tests.vectors.clients.make_vectors import FOLDER, SCHEMA, TOLERANCES, suites
from tools.client_networks import main

SUITES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def computed() -> dict[str, str]:
    return suites()


def committed(suite: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((FOLDER / f"{suite}.json").read_text(encoding="utf-8"))
    return value


def decoded(value: dict[str, Any]) -> NDArray[Any]:
    flat = np.frombuffer(base64.b64decode(value["data"]), np.dtype(value["dtype"]).newbyteorder("<"))
    return flat.reshape(value["shape"])


def assert_alike(actual: Any, expected: Any) -> None:
    """Check that two JSON values are equal; floats may differ by rounding, because processors round differently."""
    if isinstance(expected, dict) and "data" in expected:
        first, second = decoded(actual), decoded(expected)
        assert (first.dtype, first.shape) == (second.dtype, second.shape)
        if first.dtype.kind == "f":
            np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)
        else:
            assert np.abs(first.astype(np.int64) - second).max(initial=0) <= 1
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key, value in expected.items():
            assert_alike(actual[key], value)
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for first, second in zip(actual, expected, strict=True):
            assert_alike(first, second)
    else:
        assert actual == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected)


def test_every_suite_is_committed(computed: dict[str, str]) -> None:
    assert sorted(computed) == SUITES


@pytest.mark.parametrize("suite", SUITES)
def test_the_sdk_computes_the_committed_values(suite: str, computed: dict[str, str]) -> None:
    assert_alike(json.loads(computed[suite]), committed(suite))


@pytest.mark.parametrize("suite", SUITES)
def test_a_file_has_the_documented_form(suite: str) -> None:
    value = committed(suite)
    assert list(value) == ["schema", "suite", "tolerance", "cases"]
    assert (value["schema"], value["suite"]) == (SCHEMA, suite)
    assert value["tolerance"] == TOLERANCES.get(suite, {})
    names = [case["name"] for case in value["cases"]]
    assert len(names) == len(set(names)) >= 4
    for case in value["cases"]:
        assert case.keys() in ({"name", "input", "expected"}, {"name", "input", "refused"})


def test_the_cases_cover_what_clients_get_wrong() -> None:
    tensors = {case["input"]["tensor"]["dtype"] for case in committed("encode")["cases"]}
    colors = {case["input"]["color"] for case in committed("encode")["cases"]}
    assert (tensors, colors) == ({"int8", "uint8", "float32"}, {"rgb", "bgr", "gray"})
    faces = {case["name"]: len(case["expected"]["faces"]) for case in committed("detect")["cases"]}
    assert min(faces.values()) == 0
    assert max(faces.values()) > 1
    refused = [case["name"] for case in committed("embed")["cases"] if "refused" in case]
    assert len(refused) == 4
    reasons = [case["expected"]["reasons"] for case in committed("quality")["cases"]]
    assert len({reason for row in reasons for reason in row}) >= 4
    for case in committed("align")["cases"]:
        crop = decoded(case["expected"]["pixels"])
        assert crop.std() > 1, case["name"]


def test_the_networks_of_clients_give_their_golden_answers(tmp_path: Path) -> None:
    assert main(["--output", str(tmp_path)]) == 0
    files = sorted(tmp_path.glob("*.tflite"))
    assert {"products.cpu_int8.tflite", "products.mobile_int8.tflite"} <= {path.name for path in files}
    for path in files:
        model = ModelFile.open(path)
        backend = LiteRtBackend(model.data)
        assert model.card.golden is not None
        assert check(backend, model.card.input, model.card.golden).right
        assert model.card.input_tensor == backend.input.stated()
