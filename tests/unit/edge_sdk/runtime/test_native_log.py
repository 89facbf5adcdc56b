"""LiteRT's INFO lines do not reach stderr; all other lines do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_an_interpreter_prints_no_info_line(run_python: Callable[..., Any], float_model_path: Path) -> None:
    source = (
        "import sys\nfrom edge_sdk.model.model_file import ModelFile\n"
        "from edge_sdk.runtime.backends.litert import LiteRtBackend, load_interpreter_class\n"
        "data = ModelFile.open(sys.argv[1]).data\n"
    )
    plain = "load_interpreter_class()(model_content=data).allocate_tensors()"
    assert "INFO: " in run_python(source + plain, str(float_model_path)).stderr, "control"
    assert run_python(source + "LiteRtBackend(data)", str(float_model_path)).stderr == ""


def test_other_lines_are_kept(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import os\nfrom edge_sdk.runtime.backends.native_log import info_lines_dropped\n"
        "with info_lines_dropped():\n"
        "    os.write(2, b'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\nWARNING: two\\nERROR: three\\n')\n"
        "    os.write(2, b'INFO: a line of a logger\\nINFO: Applying 1 delegate(s)\\nfive')\n"
        "os.write(2, b' six')\n"
    )
    assert done.stderr == "WARNING: two\nERROR: three\nINFO: a line of a logger\nfive six"


def test_a_closed_stderr_is_no_error(run_python: Callable[..., Any]) -> None:
    done = run_python(
        "import os\nfrom edge_sdk.runtime.backends.native_log import info_lines_dropped\n"
        "os.close(2)\nwith info_lines_dropped():\n    print('done')\n"
    )
    assert done.stdout == "done\n" and done.returncode == 0


def test_it_needs_no_folder_for_temporary_files_and_leaks_no_descriptor(
    run_python: Callable[..., Any],
) -> None:
    done = run_python(
        "import os, tempfile\nfrom edge_sdk.runtime.backends.native_log import info_lines_dropped\n"
        "tempfile.tempdir = '/nowhere'\nbefore = os.listdir('/proc/self/fd')\n"
        "for number in range(3):\n"
        "    try:\n"
        "        with info_lines_dropped():\n"
        "            os.write(2, f'{number}\\n'.encode())\n"
        "            raise KeyError\n"
        "    except KeyError:\n"
        "        pass\n"
        "assert len(os.listdir('/proc/self/fd')) == len(before)\n"
    )
    assert (done.returncode, done.stderr) == (0, "0\n1\n2\n")
