"""``import edge_sdk`` imports only numpy and small modules; heavy modules are imported at their first use."""

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
HEAVY = (
    "ai_edge_litert",
    "tflite_runtime",
    "cryptography",
    "PIL",
    "tensorflow",
    "keras",
    "flatbuffers",
    "converters",
    "onnx",
    "pooch",
    "requests",
    "cv2",
)


def loaded(run_python: Run, source: str) -> set[str]:
    """List the modules that source code imports in addition to those of ``import numpy``."""
    done = run_python(
        "import sys, json, numpy\n"
        "before = set(sys.modules)\n"
        f"{source}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def roots(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    "source",
    [
        "import edge_sdk",
        "from edge_sdk import Embedder, ModelCard, InputContract, OperatingPoint, matching",
        "from edge_sdk import Gallery, KeyFile, Passphrase",
        "import edge_sdk.cli; edge_sdk.cli.build_parser()",
        "import edge_sdk.testing",
        "import edge_sdk.zoo",
        "import edge_sdk.vision.detector, edge_sdk.vision.quality, edge_sdk.vision.liveness",
    ],
)
def test_nothing_heavy_is_loaded_by_importing(run_python: Run, source: str) -> None:
    assert not roots(loaded(run_python, source)) & set(HEAVY)


def test_importing_loads_four_modules_of_its_own(run_python: Run) -> None:
    parts = {"edge_sdk._moved", "edge_sdk._numpy_import", "edge_sdk.errors"}
    assert loaded(run_python, "import edge_sdk") == {"edge_sdk", *parts}


def test_nothing_of_the_workstation_is_loaded_by_recognizing(
    run_python: Run, model_path: Any, products: list[Any]
) -> None:
    modules = loaded(
        run_python,
        "from edge_sdk import Embedder\n"
        "from edge_sdk.vision.images import read_image\n"
        f"Embedder.open({str(model_path)!r}).embed(read_image({str(products[0].enrol)!r}))",
    )
    assert {"ai_edge_litert", "PIL"} <= roots(modules)
    assert not roots(modules) & {"cryptography", "tensorflow", "keras", "converters", "onnx"}


def test_without_numpy_the_import_says_so(run_python: Run) -> None:
    done = run_python("import sys; sys.modules['numpy'] = None; import edge_sdk")
    assert done.returncode == 1
    assert "numpy" in done.stderr.splitlines()[-1]
