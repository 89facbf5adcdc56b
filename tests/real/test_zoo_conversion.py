"""Real networks convert, and their float artefacts recognize faces as well as the original files.

Accuracy is measured on the 1,000 official pairs of LFW DevTest at the best threshold. The required accuracy is
that of the original files, less a margin, because it was measured on other pairs (6,000 or 600).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics import verify_pairs
from converters.evaluate.runner.comparison_lists import read_pairs
from converters.evaluate.runner.embed_images import embed_samples
from converters.graph.graph import Graph
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.results import ConversionResult
from edge_sdk import Embedder
from edge_sdk.model.card import InputContract

pytestmark = pytest.mark.real

AS_PIXELS = {"range": [0, 255]}
AROUND_ZERO = {"mean": 127.5, "scale": 128}


@dataclass(frozen=True)
class Case:
    file: str
    size: tuple[int, int]
    normalization: dict[str, object]
    accuracy: float
    int8_cosine: tuple[float, float]


CASES = {
    "y1 onnx": Case("mobilefacenet_y1.onnx", (112, 112), AS_PIXELS, 0.989, (0.80, 0.95)),
    "y1 tflite": Case("mobilefacenet_y1_float32.tflite", (112, 112), AS_PIXELS, 0.989, (0.80, 0.95)),
    "casia onnx": Case("mobilefacenet_casia_112x96.onnx", (112, 96), AROUND_ZERO, 0.975, (0.93, 1)),
    "192d tflite": Case("mobilefacenet_192d_batch2.tflite", (112, 112), AROUND_ZERO, 0.978, (0.90, 1)),
    "sface onnx": Case("sface_2021dec_float.onnx", (112, 112), AS_PIXELS, 0.985, (0.97, 1)),
}


@pytest.fixture(scope="module", params=CASES)
def converted(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Case, ConversionResult, Path]:
    case = CASES[request.param]
    contract = InputContract.from_json({"size": case.size, "color": "rgb", **case.normalization})
    output = tmp_path_factory.mktemp("converted")
    calibration = shared / "faces" / "lfw_calibration_aligned112.tar"
    report = convert(ConversionOptions(shared / "zoo" / case.file, contract, calibration, output))
    return case, report, output


def test_it_equals_its_source_and_is_whole(converted: tuple[Case, ConversionResult, Path]) -> None:
    case, report, output = converted
    assert report.agreement >= 0.99999
    assert all(gate.passed for artefact in report.artefacts for gate in artefact.gates)
    assert [artefact.partitions for artefact in report.artefacts] == [1, 1, 1, 1]
    graph = Graph.parse((output / report.artefacts[0].file).read_bytes())
    assert graph.shape(graph.inputs[0]) == (1, *case.size, 3)


def test_the_report_is_truthful_about_int8(converted: tuple[Case, ConversionResult, Path]) -> None:
    """The verdict of the report states that plain int8 of y1 is poor."""
    case, report, _ = converted
    low, high = case.int8_cosine
    by_recipe = {artefact.recipe: artefact for artefact in report.artefacts}
    int8_cosine = by_recipe["cpu_int8"].cosine_mean
    assert low < int8_cosine < high
    assert ("far from the float model" in report.verdict()) == (int8_cosine < 0.975)
    assert by_recipe["float16"].cosine_min > 0.999


def test_the_float_artefact_recognizes_faces(
    converted: tuple[Case, ConversionResult, Path], shared: Path
) -> None:
    case, report, output = converted
    embedder = Embedder.open(output / report.artefacts[0].file)
    samples = open_samples(shared / "faces" / "lfw_devtest_aligned112.tar")
    pairs = read_pairs(shared / "faces" / "pairsDevTest.txt")
    evidence = verify_pairs(embed_samples(samples, embedder.embed), pairs, replicates=0)
    assert evidence.accuracy
    assert evidence.accuracy[0] >= case.accuracy
