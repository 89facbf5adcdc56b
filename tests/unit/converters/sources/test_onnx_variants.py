"""ONNX networks of many kinds convert and agree with onnxruntime."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from converters.sources.checks import EQUAL_COSINE

HERE = Path(__file__).parent
PAGE = Path(__file__).parents[4] / "docs/reference/sources.md"
FAST = (
    "group4",
    "group_1d",
    "shufflenet_v2",
    "iresnet",
    "vit_opset17",
    "convnext",
    "gru_before_reset",
    "lstm_last",
    "opset7",
    "opset24",
    "float16_graph",
    "constant_if",
    "group_norm18",
    "resize_cubic",
    "pool_average_ceil",
    "deconv_group",
    "deconv_output_shape",
    "pool_lp_ceil",
    "rotary_opset23",
    "depthwise_two_strides",
    "listed_weights_unsqueezed",
)


def variants():
    spec = importlib.util.spec_from_file_location("onnx_variants", HERE / "onnx_variants.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_all_agree(way, names):
    done = subprocess.run(
        [sys.executable, str(HERE / "convert_variants.py"), way, *names],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert set(results) == set(names)
    wrong = {n: r for n, r in results.items() if not isinstance(r, float) or r < EQUAL_COSINE}
    assert not wrong


def test_some_networks_of_each_kind():
    assert_all_agree("lowered", FAST)


@pytest.mark.slow
def test_all_networks_lowered_operator_by_operator():
    assert_all_agree("lowered", variants().VARIANTS)


@pytest.mark.slow
def test_all_networks_on_the_usual_path():
    assert_all_agree("whole", variants().VARIANTS)


def test_the_reference_lists_the_networks_of_each_kind():
    rows = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2:
            rows[cells[0]] = [name.strip(" `") for name in cells[1].split(",")]
    for kind, names in variants().KINDS.items():
        assert rows.get(kind) == names, kind
