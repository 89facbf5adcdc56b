"""Package checks of the doctor: missing, broken and old packages, each in a separate process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOOK = """
import json
from edge_sdk.diagnostics.doctor.packages import check_packages
print(json.dumps([f.to_json() for f in check_packages()]))
"""


@pytest.fixture
def look(run_python: Callable[..., Any]) -> Callable[[str], dict[str, dict[str, str]]]:
    """Return a function that runs the checks after given source code; it returns the results by their subject."""

    def run(before: str = "") -> dict[str, dict[str, str]]:
        done = run_python(before + LOOK)
        assert done.returncode == 0, done.stderr
        return {finding["check"]: finding for finding in json.loads(done.stdout)}

    return run


def test_what_the_tests_run_on_is_whole(look: Callable[..., Any]) -> None:
    results = look()
    assert {finding["status"] for finding in results.values()} == {"ok"}
    assert results["interpreter"]["found"].startswith("ai-edge-litert ")
    assert results["image decoder"]["found"] == "JPEG and PNG"


@pytest.mark.parametrize(
    ("missing", "check", "status", "advice"),
    [
        ("ai_edge_litert", "interpreter", "fail", "pip install 'edge-embedding-sdk[litert]'"),
        ("cryptography", "cryptography", "warn", "pip install 'edge-embedding-sdk[gallery]'"),
        ("PIL", "pillow", "warn", "pip install 'edge-embedding-sdk[images]'"),
    ],
)
def test_a_missing_package_names_its_extra(
    look: Callable[..., Any], missing: str, check: str, status: str, advice: str
) -> None:
    finder = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == {missing!r}:\n"
        f"            raise ModuleNotFoundError(f'No module named {{name!r}}', name={missing!r})\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    result = look(finder)[check]
    assert (result["status"], result["advice"]) == (status, advice)


def test_a_wheel_for_another_machine_is_told_from_a_missing_one(
    look: Callable[..., Any], tmp_path: Path
) -> None:
    """A compiled module exists but cannot be loaded, as after copying a virtual environment between machines."""
    package = tmp_path / "PIL"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_imaging.so").write_bytes(b"\x7fELF, but for another machine")
    result = look(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n")["pillow"]
    assert result["status"] == "fail"
    assert "does not load" in result["found"]
    assert "--only-binary=:all: pillow" in result["advice"]


def test_an_old_pillow_is_named_for_its_decoder(look: Callable[..., Any], tmp_path: Path) -> None:
    old = tmp_path / "pillow-12.0.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 12.0.0\n")
    result = look(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n")["pillow"]
    assert result["status"] == "warn"
    assert "overflows" in result["found"]
