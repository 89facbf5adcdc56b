"""Compilation of real delegates for tests: with correct or wrong outputs, without partitions, or failing at start."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import lacking

SOURCE = Path(__file__).parent / "unit" / "edge_sdk" / "runtime" / "backends" / "trial_delegate.c"


def build_delegate(folder: Path, *options: str, source: str | None = None) -> Path:
    """Compile the trial delegate, or other C source, as a shared library.

    Args:
        folder: Folder for the library.
        options: Options of the compiler, such as ``-DTAKE_NOTHING``.
        source: C source to compile instead of the trial delegate.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        lacking("needs a C compiler for the trial delegate: apt-get install gcc")
    name = "-".join(["delegate", *(option.strip("-D").lower() for option in options)])
    library = folder / f"lib{name}.so"
    file = SOURCE
    if source is not None:
        file = folder / "source.c"
        file.write_text(source)
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *options]
    subprocess.run([*command, "-o", str(library), str(file), "-lm"], check=True)
    return library
