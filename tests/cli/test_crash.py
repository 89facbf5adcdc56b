"""No crash of a command exits with 1, which means "no match"."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk import console
from tests.patience import PATIENCE_S

Run = Callable[..., Any]
#: Interpreter whose import works and whose use fails, as tflite-runtime 2.14 with numpy 2.
INTERPRETER = """
import sys

class Interpreter:
    def __init__(self, **_):
        sys.stderr.write("A module that was compiled using NumPy 1.x cannot be run in NumPy 2.2.6 as it may crash.\\n" * 9)
        raise SystemError("<built-in method CreateWrapperFromBuffer> returned a result with an exception set")
"""
BROKEN_NUMPY = "raise ImportError('Error importing numpy: you should not try to import numpy from its source directory.')\n"


def run_with(path: Path, *arguments: Any, program: str = "edge_sdk.cli") -> subprocess.CompletedProcess[str]:
    """Run a command with a folder of other modules in front of the installed ones."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def package(folder: Path, name: str, **modules: str) -> None:
    (folder / name).mkdir(parents=True)
    for module, source in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(source)


@pytest.fixture
def other_numpy(tmp_path: Path) -> Path:
    """A folder in which tflite-runtime is the only interpreter, and is built for numpy 1."""
    folder = tmp_path / "packages"
    package(folder, "tflite_runtime", interpreter=INTERPRETER)
    package(folder, "ai_edge_litert", __init__="raise ModuleNotFoundError(name='ai_edge_litert')")
    return folder


def test_an_interpreter_for_another_numpy_is_an_error_with_its_cure(
    other_numpy: Path, home: Any, products: list[Any]
) -> None:
    done = run_with(other_numpy, "identify", products[0].enrol, "--threshold", "0.9", *home.all)
    error, hint = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "")
    assert error.startswith("edge-sdk: error: tflite-runtime") and "built for another numpy" in error
    assert hint.endswith("pip install 'numpy<2'")


def test_doctor_runs_the_interpreter_that_it_judges(other_numpy: Path) -> None:
    done = run_with(other_numpy, "doctor")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if " interpreter " in line]
    assert line.startswith("fail") and "built for another numpy" in line
    assert "pip install 'numpy<2'" in done.stdout


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (
            "ValueError('numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88"
            " from PyObject')",
            "numpy<2",
        ),
        (
            "RuntimeError('module compiled against ABI version 0x1000009 but this version of numpy is 0x2000000')",
            "numpy<2",
        ),
        ("ImportError('numpy.core.multiarray failed to import')", "numpy"),
        ("OSError('libcamera.so.0.3: cannot open shared object file')", "picamera2"),
    ],
)
def test_a_broken_camera_package_is_an_error_and_doctor_imports_it(
    tmp_path: Path, home: Any, error: str, cure: str
) -> None:
    package(tmp_path / "packages", "picamera2", __init__=f"raise {error}")
    arguments = ["--detector", "none.tflite", *home.all]
    program = (
        "from edge_sdk.cameras import PiCamera\n"
        "from edge_sdk.errors import AcquisitionError\n"
        "try:\n"
        "    PiCamera().__enter__()\n"
        "except AcquisitionError as error:\n"
        "    print(error.reason, error.hint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'packages'}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.startswith("no camera ") and cure in done.stdout, done.stderr
    assert run_with(tmp_path / "packages", "face", "watch", "--camera", "pi", *arguments).returncode == 3
    done = run_with(tmp_path / "packages", "doctor")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("fail  camera")]
    assert "picamera2 is installed but does not load" in line
    assert cure in done.stdout


@pytest.mark.parametrize("program", ["edge_sdk.cli", "converters.cli"])
def test_a_numpy_that_does_not_load_is_an_error(tmp_path: Path, program: str) -> None:
    package(tmp_path, "numpy", __init__=BROKEN_NUMPY)
    done = run_with(tmp_path, "--version", program=program)
    error, hint = done.stderr.splitlines()
    assert done.returncode == 3
    assert "numpy does not load" in error and not error.endswith(".")
    assert "force-reinstall" in hint


@pytest.mark.parametrize(
    "fault", [RuntimeError("it broke."), MemoryError(), RecursionError("deep"), KeyError("x")]
)
def test_an_unexpected_exception_is_one_error_line_and_a_hint(
    fault: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> int:
        raise fault

    monkeypatch.delenv(console.DEBUG, raising=False)
    assert console.run("edge-sdk", command) == 3
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith(f"edge-sdk: error: unexpected {type(fault).__name__}: ")
    assert not error.endswith(".") and console.DEBUG in hint
    monkeypatch.setenv(console.DEBUG, "1")
    assert console.run("edge-sdk", command) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_no_file_gets_the_descriptor_of_a_closed_stream(
    tmp_path: Path, run_python: Callable[..., Any]
) -> None:
    """Native code writes messages to the descriptor of stderr; they must not get into a gallery."""
    done = run_python(
        "import os, sys\nfrom edge_sdk import console\n"
        "def command():\n"
        "    with open(sys.argv[1], 'w') as file:\n"
        "        os.write(2, b'INFO: created')\n"
        "        os.write(1, b'an answer')\n"
        "        print('done', sys.stdin.readline())\n"
        "        file.write('content')\n"
        "    return 0\n"
        "for descriptor in range(3):\n"
        "    os.close(descriptor)\n"
        "sys.stdin = sys.stdout = sys.stderr = None\n"
        "sys.exit(console.run('test', command))\n",
        str(tmp_path / "gallery"),
    )
    assert done.returncode == 0
    assert (tmp_path / "gallery").read_text() == "content"
