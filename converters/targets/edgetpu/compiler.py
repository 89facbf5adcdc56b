"""``edgetpu_compiler``, where it is installed: run it, read its log, hold its mapping against the prediction.

It is closed, for x86-64 Debian, and of no package registry that pip reads; without it the rules are what there is.
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
    "the compiler is for x86-64 Linux: add Coral's Debian repository (coral.ai/docs/edgetpu/compiler), apt-get"
    " install edgetpu-compiler, or run it in Coral's Colab notebook; then edgetpu_compiler -s FILE"
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
class Log:
    """What the compiler said.

    Args:
        version: Its own.
        rows: Operator, how often, and its status: ``Mapped to Edge TPU`` or why not.
        on_chip_bytes: Parameters that stay on the chip.
        streamed_bytes: Parameters that travel to it for every inference.
    """

    version: str
    rows: tuple[tuple[str, int, str], ...]
    on_chip_bytes: int
    streamed_bytes: int

    @property
    def mapped(self) -> int:
        """How many operators run on the Edge TPU."""
        return sum(count for _, count, status in self.rows if status == MAPPED)

    @property
    def on_cpu(self) -> tuple[tuple[str, int, str], ...]:
        """The rows of operators that do not."""
        return tuple(row for row in self.rows if row[2] != MAPPED)


def find() -> str:
    """The compiler's path, empty where it is not installed."""
    return shutil.which(PROGRAM) or ""


def compile_network(data: bytes, program: str) -> tuple[bytes, Log]:
    """Compile a finished file.

    Args:
        data: The file to compile.
        program: What ``find`` gave.

    Returns:
        The compiled network and what the compiler said of it.

    Raises:
        TargetError: The compiler refuses the file, does not end, or says something that is no log of it.
    """
    with tempfile.TemporaryDirectory(prefix="edgetpu-") as folder:
        source = Path(folder, "network.tflite")
        source.write_bytes(data)
        command = [program, "-s", "-o", folder, str(source)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"{PROGRAM} did not end within {TIMEOUT_S} s") from error
        except OSError as error:
            raise TargetError(f"{program}: cannot be run: {error.strerror}") from error
        text = (done.stdout + done.stderr)[:_MAX_LOG]
        compiled = Path(folder, "network_edgetpu.tflite")
        if done.returncode or not compiled.is_file():
            raise TargetError(
                f"{PROGRAM} failed: {_complaint(text) or f'exit code {done.returncode}'}",
                hint="edge-convert lint --target edgetpu says which rule the network breaks",
            )
        return compiled.read_bytes(), parse_log(text)


def parse_log(text: str) -> Log:
    """Read what ``edgetpu_compiler -s`` prints.

    Raises:
        TargetError: It names no operators.
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
    return Log(
        version[1] if version else "unknown",
        tuple(rows),
        sizes["On-chip memory used"],
        sizes["Off-chip memory used"],
    )


def _complaint(text: str) -> str:
    """The line that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line for line in lines if re.match(r"(ERROR|Invalid|Internal|Compilation failed:)", line)]
    return (wrong or [line for line in lines if "failed" in line] or [""])[0]
