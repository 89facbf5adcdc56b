"""Real networks convert for all targets that need no vendor compiler; lint checks files not made by this SDK."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.targets import targets
from converters.targets.lint import lint
from edge_sdk.model.card import InputContract

pytestmark = pytest.mark.real


def test_y1_converts_for_three_targets_and_nothing_falls_back(shared: Path, tmp_path: Path) -> None:
    contract = InputContract.from_json({"size": [112, 112], "color": "rgb", "range": [0, 255]})
    report = convert(
        ConversionOptions(
            shared / "zoo" / "mobilefacenet_y1_float32.tflite",
            contract,
            shared / "faces" / "lfw_calibration_aligned112.tar",
            tmp_path / "out",
            targets=("cpu", "edgetpu", "mobile"),
        )
    )
    assert all(part.count("refused") == part.count("slow") == 0 for s in report.targets for part in s.parts)
    whole = next(a for a in report.artefacts if a.recipe == "edgetpu_int8")
    assert "FULLY_CONNECTED" not in whole.operators
    dynamic, plain = (
        next(a for a in report.artefacts if a.recipe == r) for r in ("dynamic_range", "cpu_int8")
    )
    assert dynamic.cosine_min > 0.998 > 0.9 > plain.cosine_mean
    assert dynamic.size_bytes < 0.35 * report.artefacts[0].size_bytes


def test_a_compiled_file_is_recognized(shared: Path) -> None:
    path = shared / "zoo" / "mobilefacenet_112x96_compiled_edgetpu.tflite"
    (section,) = lint(path, [targets()["edgetpu"]]).sections
    assert [finding.rule for finding in section.parts[0].findings] == ["not-compiled"]
    assert not section.refused
    assert lint(path, [targets()["cpu"]]).refused


def test_the_published_int8_of_y1_names_its_34_partitions(shared: Path) -> None:
    path = shared / "zoo" / "mobilefacenet_y1_published_uint8.tflite"
    (section,) = lint(path, [targets()["cpu"]]).sections
    messages = [finding.found for finding in section.parts[0].findings]
    assert any(
        line.startswith("33 int8 MAXIMUM run on LiteRT's own kernel") and line.endswith("in 35 partitions")
        for line in messages
    )
    assert "dynamic shape" in messages[0]


@pytest.mark.parametrize("file", ["blazeface_short_range.tflite", "mobilefacenet_192d_batch2.tflite"])
def test_what_lint_predicts_of_xnnpack_is_what_it_does(shared: Path, file: str) -> None:
    from converters.graph.network import Network
    from converters.graph.partitions import xnnpack_partitions
    from converters.targets.cpu.placement import predict_placement
    from converters.targets.operator_table import parse_for_rules

    network = Network((shared / "zoo" / file).read_bytes())
    assert predict_placement(parse_for_rules(network)).count == xnnpack_partitions(network).count
    assert network.graph.operators
