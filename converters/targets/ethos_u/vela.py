"""Arm's compiler for Ethos-U, vela, in a child process: what it compiled, what it left, what it expects of time and memory.

vela exits with 0 whatever it leaves to the CPU, down to a network of which it takes nothing. What it left is read
from the file it wrote: every operator in it but ``ethos-u`` is one that the CPU runs.
"""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import TargetError
from converters.graph.graph import Graph, indices
from converters.jobs.child_process import run_logged

TIMEOUT_S = 600.0
#: As vela's ``--accelerator-config`` takes them: the family, then how many multiplications a cycle.
ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
#: Each family's system and memory where the user says none; vela's own choice, said out loud.
DEFAULTS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
#: The configuration file that comes with vela.
CONFIG_FILE = "Arm/vela.ini"
HOW_TO_GET_IT = "pip install 'edge-sdk[ethos-u]'"
#: The operator that stands for all that the NPU runs.
NPU_OPERATOR = "'ethos-u'"

_MAX_LOG_BYTES = 1 << 20
_REASON = re.compile(r"operator: (?P<op>\S+), ofm: '(?P<output>.*)'\nReason: (?P<reason>.*)\n(?P<rule>.*)")
_PREFIX = re.compile(r"^ethosu\.[\w.]+: ['\"]?(Error: )?")
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Configuration:
    """What vela compiles for.

    Args:
        accelerator: One of ``ACCELERATORS``.
        system_config: A section of the configuration file: clock and memories; the family's where empty.
        memory_mode: A section of the configuration file: what lies where; the family's where empty.
        config_file: A vela.ini, or the one that comes with vela.

    Raises:
        TargetError: No such accelerator, or a name that cannot be one.
    """

    accelerator: str
    system_config: str = ""
    memory_mode: str = ""
    config_file: str = CONFIG_FILE

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise TargetError(
                f"ethos-u: expected an accelerator of {', '.join(ACCELERATORS)}, found {self.accelerator!r}"
            )
        system, memory = DEFAULTS[self.accelerator.rsplit("-", 1)[0]]
        object.__setattr__(self, "system_config", self.system_config or system)
        object.__setattr__(self, "memory_mode", self.memory_mode or memory)
        for name, value in (("system config", self.system_config), ("memory mode", self.memory_mode)):
            if not _NAME.fullmatch(value):
                raise TargetError(
                    f"ethos-u: expected a {name} that names a section of {self.config_file}, found {value!r}",
                    hint=f"vela --list-configs {CONFIG_FILE} lists those that come with it",
                )

    def __str__(self) -> str:
        return f"{self.accelerator}, {self.system_config}, {self.memory_mode}"


@dataclass(frozen=True)
class CpuOperator:
    """An operator that vela left to the CPU.

    Args:
        name: Such as ``PRELU``.
        output: The name of its output tensor.
        reason: What vela says of it; empty where it says nothing.
    """

    name: str
    output: str
    reason: str = ""


@dataclass(frozen=True)
class Compiled:
    """A network as vela compiled it, with what it expects; nothing here was measured on an NPU.

    Args:
        network: The compiled FlatBuffer.
        configuration: What it was compiled for.
        cycles: Of the NPU, for one inference.
        clock_hz: Of the system configuration.
        milliseconds: Cycles at that clock; without the operators that the CPU runs.
        sram_bytes: For activations and what is staged.
        dram_bytes: For weights and activations, where the memory mode puts them there.
        flash_bytes: For weights and commands, where the memory mode puts them there.
        operators: How many operators the network had.
        cpu_operators: Those that vela left to the CPU.
    """

    network: bytes
    configuration: Configuration
    cycles: int
    clock_hz: float
    milliseconds: float
    sram_bytes: int
    dram_bytes: int
    flash_bytes: int
    operators: int
    cpu_operators: tuple[CpuOperator, ...]

    @property
    def npu_operators(self) -> int:
        """How many of the network's operators the NPU runs."""
        return self.operators - len(self.cpu_operators)


def installed() -> bool:
    """Whether vela can be run."""
    return importlib.util.find_spec("ethosu") is not None


def compile_network(
    network: bytes, configuration: Configuration, *, timeout_s: float = TIMEOUT_S
) -> Compiled:
    """Compile a network.

    Args:
        network: A .tflite's FlatBuffer. What is not int8 stays on the CPU.
        configuration: What to compile for.
        timeout_s: After which vela is stopped.

    Returns:
        What vela made; look at ``cpu_operators``.

    Raises:
        TargetError: vela is not installed, refuses the network or the configuration, crashes, or takes too long.
    """
    if not installed():
        raise TargetError("no compiler for Ethos-U is installed", hint=HOW_TO_GET_IT)
    with tempfile.TemporaryDirectory(prefix="edge-convert-vela-") as name:
        folder = Path(name)
        (folder / "network.tflite").write_bytes(network)
        log = _run(_arguments(configuration), folder, configuration, timeout_s)
        compiled = folder / "out" / "network_vela.tflite"
        summaries = sorted((folder / "out").glob("network_summary_*.csv"))
        if not compiled.is_file() or not summaries:
            raise TargetError(f"vela ({configuration}) gave up: {_last_words(log)}")
        return _read(network, compiled.read_bytes(), _summary(summaries[0]), configuration, log)


def _arguments(configuration: Configuration) -> list[str]:
    config = configuration.config_file
    return [
        "network.tflite",
        "--output-dir=out",
        f"--accelerator-config={configuration.accelerator}",
        # vela runs in a folder of its own; what comes with it goes by a short name.
        f"--config={config if config == CONFIG_FILE else Path(config).resolve()}",
        f"--system-config={configuration.system_config}",
        f"--memory-mode={configuration.memory_mode}",
    ]


def _run(arguments: Sequence[str], folder: Path, configuration: Configuration, timeout_s: float) -> str:
    try:
        code, log = run_logged(
            ["-m", "ethosu.vela", *arguments],
            folder,
            environment={**os.environ, "PYTHONWARNINGS": "ignore", "OPENBLAS_NUM_THREADS": "1"},
            timeout_s=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            f"vela ({configuration}) took longer than {timeout_s:g} s",
            hint="give a smaller network, or compile on a faster machine",
        ) from error
    text = log[:_MAX_LOG_BYTES].decode(errors="replace")
    if code < 0:
        raise TargetError(f"vela ({configuration}) crashed ({signal.Signals(-code).name})")
    if code:
        raise TargetError(f"vela ({configuration}) refused: {_last_words(text)}")
    return text


def _last_words(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return _PREFIX.sub("", (errors or lines or ["it said nothing"])[-1]).strip("'\"")[:300]


def _summary(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return next(csv.DictReader(file))


def _read(
    network: bytes, compiled: bytes, summary: dict[str, str], configuration: Configuration, log: str
) -> Compiled:
    def kibibytes(*memories: str) -> int:
        return round(1024 * sum(float(summary[f"{memory}_memory_used"]) for memory in memories))

    graph = Graph.parse(compiled)
    reasons = {found["output"]: f"{found['reason']}: {found['rule']}" for found in _REASON.finditer(log)}
    left = []
    for operator in graph.operators:
        output = graph.name(indices(operator.outputs)[0])
        if graph.op_name(operator) != NPU_OPERATOR:
            left.append(CpuOperator(graph.op_name(operator), output, reasons.get(output, "")))
    return Compiled(
        network=compiled,
        configuration=configuration,
        cycles=int(float(summary["cycles_total"])),
        clock_hz=float(summary["core_clock"]),
        milliseconds=float(summary["inference_time"]) * 1e3,
        sram_bytes=kibibytes("sram"),
        dram_bytes=kibibytes("dram"),
        flash_bytes=kibibytes("on_chip_flash", "off_chip_flash"),
        operators=len(Graph.parse(network).operators),
        cpu_operators=tuple(left),
    )
