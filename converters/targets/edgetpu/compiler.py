"""Run Coral's compiler, ``edgetpu_compiler``, and read its log.

The compiler is closed source, runs on x86-64 Debian, and cannot be installed with pip. Without it, artefacts are checked
only against the rules.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from converters.errors import TargetError

PROGRAM = "edgetpu_compiler"
TIMEOUT_S = 600
HOW_TO_GET_IT = (
    "add Coral's Debian repository (coral.ai/docs/edgetpu/compiler), apt-get"
    " install edgetpu-compiler (x86-64 Linux), or run it in Coral's Colab notebook"
)
MAPPED = "Mapped to Edge TPU"

_MAX_LOG = 1 << 20
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_SIZE = re.compile(
    r"^(?P<what>On-chip memory used|Off-chip memory used)[^:]*: (?P<size>[\d.]+)(?P<unit>B|KiB|MiB|GiB)$"
)
_ROW = re.compile(r"^(?P<operator>[A-Z][A-Z0-9_]*)\s+(?P<count>\d+)\s+(?P<status>\S.*)$")
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True)
class CompilerLog:
    """Log of one compilation.

    Args:
        version: Version of the compiler.
        rows: Operator, count, and status: ``Mapped to Edge TPU`` or the reason why it is not mapped.
        on_chip_bytes: Bytes of the parameters that stay on the chip.
        streamed_bytes: Bytes of the parameters that are transferred for every inference.
    """

    version: str
    rows: tuple[tuple[str, int, str], ...]
    on_chip_bytes: int
    streamed_bytes: int

    @property
    def mapped(self) -> int:
        """Number of operators that run on the Edge TPU."""
        return sum(count for _, count, status in self.rows if status == MAPPED)

    @property
    def on_cpu(self) -> tuple[tuple[str, int, str], ...]:
        """Rows of the operators that run on the CPU."""
        return tuple(row for row in self.rows if row[2] != MAPPED)


def find() -> str:
    """Return the compiler's path, or an empty string if it is not installed."""
    return shutil.which(PROGRAM) or ""


def compile_network(data: bytes, program: str) -> tuple[bytes, CompilerLog]:
    """Compile a network.

    Args:
        data: FlatBuffer of a full-int8 network.
        program: Path of the compiler, from ``find``.

    Returns:
        The compiled network and the compiler's log.

    Raises:
        TargetError: The compiler cannot be run, fails, exceeds ``TIMEOUT_S``, or prints no table of operators.
    """
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as folder:
        source = Path(folder, "network.tflite")
        source.write_bytes(data)
        command = [program, "-s", "-o", folder, str(source)]
        try:
            process = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"{PROGRAM} took longer than {TIMEOUT_S} s") from error
        except OSError as error:
            raise TargetError(f"{program}: cannot be run: {error.strerror}") from error
        text = (process.stdout + process.stderr)[:_MAX_LOG]
        compiled = Path(folder, "network_edgetpu.tflite")
        if process.returncode or not compiled.is_file():
            raise TargetError(
                f"{PROGRAM} failed: {_error_line(text) or f'exit code {process.returncode}'}",
                hint="run edge-convert lint --target edgetpu to see which rules the network breaks",
            )
        return compiled.read_bytes(), parse_log(text)


def parse_log(text: str) -> CompilerLog:
    """Parse the output of ``edgetpu_compiler -s``.

    Raises:
        TargetError: The output has no table of operators.
    """
    version = _VERSION.search(text)
    sizes = {"On-chip memory used": 0, "Off-chip memory used": 0}
    rows = []
    for line in text.splitlines():
        if size := _SIZE.match(line.strip()):
            sizes[size["what"]] = round(float(size["size"]) * _UNITS[size["unit"]])
        elif row := _ROW.match(line.strip()):
            rows.append((row["operator"], int(row["count"]), row["status"].strip()))
    if not rows:
        raise TargetError(f"{PROGRAM}: expected a log with a table of operators, found {text[:80]!r}")
    return CompilerLog(
        version[1] if version else "unknown",
        tuple(rows),
        sizes["On-chip memory used"],
        sizes["Off-chip memory used"],
    )


def _error_line(text: str) -> str:
    """Return the line with the cause of a failure, or an empty string."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|Invalid|Internal|Compilation failed:)", line)]
    return (errors or [line for line in lines if "failed" in line] or [""])[0]
