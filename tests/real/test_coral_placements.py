"""The predicted placement of networks that Coral published, against what its own compiler left on the CPU."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from converters.graph.network import Network
from converters.targets import targets
from converters.targets.edgetpu.placement import predict_placement
from converters.targets.lint import lint
from converters.targets.operator_table import parse_for_rules

pytestmark = pytest.mark.real


def test_the_compilers_placement_is_predicted_exactly(shared: Path) -> None:
    folder = shared / "zoo" / "coral"
    recorded = json.loads((folder / "placements.json").read_text())
    for name, truth in recorded.items():
        if name == "what":
            continue
        graph = parse_for_rules(Network((folder / name).read_bytes()))
        on_cpu = Counter(
            graph.op_name(graph.operators[i]).strip("'") for i in predict_placement(graph).on_cpu
        )
        assert (name, len(graph.operators), on_cpu) == (name, truth["operators"], truth["cpu"])


def test_a_compiled_file_is_recognized(shared: Path) -> None:
    report = lint(shared / "zoo" / "mobilefacenet_112x96_compiled_edgetpu.tflite", [targets()["edgetpu"]])
    assert not report.refused
    assert "already compiled" in report.to_text()
