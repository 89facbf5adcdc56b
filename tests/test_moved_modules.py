"""Modules that moved can be imported by their old names for one minor version."""

import importlib
import subprocess
import sys

import pytest

from tests.patience import PATIENCE_S

OLD_NAMES = [
    ("edge_sdk.perception.images", "edge_sdk.vision.images"),
    ("edge_sdk.inference.card", "edge_sdk.model.card"),
    ("edge_sdk.inference.backends.litert", "edge_sdk.runtime.backends.litert"),
    ("edge_sdk.decision.matching", "edge_sdk.matching"),
    ("edge_sdk.gallery.sealing", "edge_sdk.gallery.format.sealing"),
    ("converters.evaluation.curves", "converters.evaluate.metrics.curves"),
]


@pytest.mark.parametrize(("old", "new"), OLD_NAMES)
def test_an_old_name_gives_the_module_and_a_warning(old: str, new: str) -> None:
    program = (
        "import sys, warnings, importlib\n"
        "old, new = sys.argv[1:]\n"
        "importlib.import_module(new.split('.')[0])\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    moved = importlib.import_module(old)\n"
        "kept = importlib.import_module(new)\n"
        "assert moved is kept, (moved, kept)\n"
        "assert kept.__name__ == new == kept.__spec__.name\n"
        "messages = [str(w.message) for w in caught if w.category is DeprecationWarning]\n"
        "assert any(m.startswith(f'{old} is now {new};') for m in messages), messages\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, old, new],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_name_that_never_existed_is_an_import_error() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("edge_sdk.no_such_module")
