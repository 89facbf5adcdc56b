"""An altered network gives one error in `lint` and `inspect`, never another exception."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.analyze.inspection import inspect
from converters.errors import SourceError
from converters.graph.graph import Graph
from converters.pipeline.options import known_targets
from converters.targets import targets
from converters.targets.lint import lint
from edge_sdk.errors import EdgeSdkError, ModelError
from edge_sdk.model.model_file import split
from tests.networks import tiny


def _first_constant(graph: Graph) -> Any:
    return next(t for i, t in enumerate(graph.tensors) if graph.constant(i) is not None and graph.shape(i))


CHANGES: dict[str, tuple[Callable[[Graph], Any], str]] = {
    "a buffer that does not exist": (
        lambda g: setattr(_first_constant(g), "buffer", 10_000),
        "refers to buffer",
    ),
    "a shape larger than its data": (
        lambda g: setattr(_first_constant(g), "shape", [3, 5, 7, 11]),
        "bytes, expected",
    ),
    "a negative shape": (lambda g: setattr(_first_constant(g), "shape", [-4]), "has the shape"),
    "a shape with a huge product": (lambda g: setattr(g.tensors[0], "shape", [1 << 30] * 4), "has the shape"),
    "an unknown operator code": (lambda g: setattr(g.operators[0], "opcodeIndex", 99), "no operator code"),
    "an unknown input": (lambda g: setattr(g.operators[0], "inputs", [999]), "an input of operator 0"),
    "an unknown output": (lambda g: setattr(g.operators[0], "outputs", [-1]), "an output of operator 0"),
    "no outputs of an operator": (lambda g: setattr(g.operators[0], "outputs", []), "missing or wrong parts"),
    "an unknown network output": (lambda g: setattr(g.model.subgraphs[0], "outputs", [999]), "no tensor"),
    "no tensors": (lambda g: setattr(g.model.subgraphs[0], "tensors", []), "no tensors"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_part_of_a_network_is_named(tmp_path: Path, change: str) -> None:
    alter, message = CHANGES[change]
    graph = tiny().edit()
    alter(graph)
    path = tmp_path / "x.tflite"
    path.write_bytes(graph.to_bytes())
    with pytest.raises((SourceError, ModelError), match=message):
        lint(path, list(known_targets(("cpu",))))


@pytest.mark.parametrize("seed", range(2))
def test_changed_bytes_never_end_in_another_exception(tmp_path: Path, model_bytes: bytes, seed: int) -> None:
    network, generator = split(model_bytes)[0], random.Random(seed)
    path, known = tmp_path / "x.tflite", [targets()[name] for name in targets()]
    refused = 0
    for _ in range(20):
        data = bytearray(network)
        for _ in range(generator.choice((1, 1, 2, 5))):
            data[generator.randrange(8, len(data))] = generator.choice((0, 1, 127, 128, 255))
        path.write_bytes(data)
        for read in (lambda: lint(path, known).to_text(), lambda: inspect(path).to_text()):
            try:
                assert read()
            except EdgeSdkError:
                refused += 1
    assert refused
