"""Run vela, Arm's compiler for Ethos-U, in a child process, and read its results.

vela exits with 0 even if it leaves operators, or the whole network, to the CPU. So the operators on the CPU are read from the file that vela
writes: they are all operators in it other than ``ethos-u``.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import TargetError
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.jobs.child_process import ChildError, environment, run_logged
from edge_sdk.extras import install_command

TIMEOUT_S = 600.0
#: Values of vela's ``--accelerator-config``: the family, then the number of multiplications per cycle.
ACCELERATORS = (
    *(f"ethos-u55-{macs}" for macs in (32, 64, 128, 256)),
    *(f"ethos-u65-{macs}" for macs in (256, 512)),
    *(f"ethos-u85-{macs}" for macs in (128, 256, 512, 1024, 2048)),
)
#: System configuration and memory mode of each family if the user sets none; the same as vela's own defaults.
DEFAULTS = {
    "ethos-u55": ("Ethos_U55_High_End_Embedded", "Shared_Sram"),
    "ethos-u65": ("Ethos_U65_Client_Server", "Dedicated_Sram_384KB"),
    "ethos-u85": ("Ethos_U85_SYS_DRAM_Mid", "Dedicated_Sram_384KB"),
}
#: Configuration file that is part of vela.
CONFIG_FILE = "Arm/vela.ini"
HOW_TO_GET_IT = install_command("ethos-u")
#: Operator of a compiled network that contains the NPU's program.
NPU_OPERATOR = "'ethos-u'"

_REASON = re.compile(r"operator: (?P<op>\S+), ofm: '(?P<output>.*)'\nReason: (?P<reason>.*)\n(?P<rule>.*)")
_PREFIX = re.compile(r"^ethosu\.[\w.]+: ['\"]?(Error: )?")
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Configuration:
    """Hardware that vela compiles for.

    Args:
        accelerator: One of ``ACCELERATORS``.
        system_config: Section of the configuration file with clock rate and memories; the family's default if empty.
        memory_mode: Section of the configuration file that assigns tensors to memories; the family's default if empty.
        config_file: Path of a vela.ini; the file that is part of vela by default.

    Raises:
        TargetError: The accelerator is unknown, or a section's name has characters other than letters, digits and underscores.
    """

    accelerator: str
    system_config: str = ""
    memory_mode: str = ""
    config_file: str = CONFIG_FILE

    def __post_init__(self) -> None:
        if self.accelerator not in ACCELERATORS:
            raise TargetError(
                f"ethos-u: expected one of the accelerators {', '.join(ACCELERATORS)}, found {self.accelerator!r}"
            )
        system, memory = DEFAULTS[self.accelerator.rsplit("-", 1)[0]]
        object.__setattr__(self, "system_config", self.system_config or system)
        object.__setattr__(self, "memory_mode", self.memory_mode or memory)
        for name, value in (("system config", self.system_config), ("memory mode", self.memory_mode)):
            if not _NAME.fullmatch(value):
                raise TargetError(
                    f"ethos-u: expected a {name} of letters, digits and _, the name of a section of {self.config_file}, found {value!r}",
                    hint=f"list the sections of vela's own file: vela --list-configs {CONFIG_FILE}",
                )

    def __str__(self) -> str:
        return f"{self.accelerator}, {self.system_config}, {self.memory_mode}"


@dataclass(frozen=True)
class CpuOperator:
    """Operator that vela left to the CPU.

    Args:
        name: Kind of the operator, such as ``PRELU``.
        output: Name of its output tensor.
        reason: Reason in vela's log; empty if there is none.
    """

    name: str
    output: str
    reason: str = ""


@dataclass(frozen=True)
class CompiledNetwork:
    """Compiled network with vela's estimates; none of them was measured on an NPU.

    Args:
        network: FlatBuffer of the compiled network.
        configuration: Hardware that it was compiled for.
        cycles: Cycles of the NPU for one inference.
        clock_hz: Clock rate of the system configuration.
        milliseconds: Time of these cycles, without the operators on the CPU.
        sram_bytes: SRAM for activations and staging buffers.
        dram_bytes: DRAM for weights and activations, if the memory mode uses it.
        flash_bytes: Flash for weights and commands, if the memory mode uses it.
        operators: Number of operators in the network before compilation.
        cpu_operators: Operators that vela left to the CPU.
    """

    network: Network
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
        """Number of the network's operators that the NPU runs."""
        return self.operators - len(self.cpu_operators)


def installed() -> bool:
    """Return True if vela is installed."""
    return importlib.util.find_spec("ethosu") is not None


def compile_network(
    network: Network, configuration: Configuration, *, timeout_s: float = TIMEOUT_S
) -> CompiledNetwork:
    """Compile a network.

    Args:
        network: FlatBuffer of the network. Operators that are not int8 stay on the CPU.
        configuration: Hardware to compile for.
        timeout_s: Time limit in seconds.

    Returns:
        The compiled network. ``cpu_operators`` lists the operators that the NPU does not run.

    Raises:
        TargetError: vela is not installed, rejects the network or the configuration, crashes, or exceeds the time limit.
    """
    if not installed():
        raise TargetError("no compiler for Ethos-U is installed", hint=HOW_TO_GET_IT)
    with tempfile.TemporaryDirectory(prefix="edge-convert-vela-") as name:
        folder = Path(name)
        (folder / "network.tflite").write_bytes(network.data)
        log = _run(_arguments(configuration), folder, configuration, timeout_s)
        compiled = folder / "out" / "network_vela.tflite"
        summaries = sorted((folder / "out").glob("network_summary_*.csv"))
        if not compiled.is_file() or not summaries:
            raise TargetError(f"vela ({configuration}) wrote no compiled file: {_error_line(log)}")
        return _read(network, Network(compiled.read_bytes()), _summary(summaries[0]), configuration, log)


def _arguments(configuration: Configuration) -> list[str]:
    config = configuration.config_file
    return [
        "network.tflite",
        "--output-dir=out",
        f"--accelerator-config={configuration.accelerator}",
        # vela runs in a temporary folder, so a user's path must be absolute. vela finds its own file by the short name.
        f"--config={config if config == CONFIG_FILE else Path(config).resolve()}",
        f"--system-config={configuration.system_config}",
        f"--memory-mode={configuration.memory_mode}",
    ]


def _run(arguments: Sequence[str], folder: Path, configuration: Configuration, timeout_s: float) -> str:
    try:
        code, log = run_logged(
            ["-m", "ethosu.vela", *arguments], folder, variables=environment(folder), timeout_s=timeout_s
        )
    except ChildError as error:
        hint = (
            "use a smaller network, or compile on a faster machine" if error.end == "timeout" else error.hint
        )
        raise TargetError(f"vela ({configuration}) {error}", hint=hint) from error
    if code:
        raise TargetError(f"vela ({configuration}) refused: {_error_line(log)}")
    return log


def _error_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return _PREFIX.sub("", (errors or lines or ["no message in its log"])[-1]).strip("'\"")[:300]


def _summary(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return next(csv.DictReader(file))


def _read(
    network: Network, compiled: Network, summary: dict[str, str], configuration: Configuration, log: str
) -> CompiledNetwork:
    def kibibytes(*memories: str) -> int:
        return round(1024 * sum(float(summary[f"{memory}_memory_used"]) for memory in memories))

    graph = compiled.graph
    reasons = {match["output"]: f"{match['reason']}: {match['rule']}" for match in _REASON.finditer(log)}
    cpu_operators = []
    for operator in graph.operators:
        output = graph.name(indices(operator.outputs)[0])
        if graph.op_name(operator) != NPU_OPERATOR:
            cpu_operators.append(CpuOperator(graph.op_name(operator), output, reasons.get(output, "")))
    return CompiledNetwork(
        network=compiled,
        configuration=configuration,
        cycles=int(float(summary["cycles_total"])),
        clock_hz=float(summary["core_clock"]),
        milliseconds=float(summary["inference_time"]) * 1e3,
        sram_bytes=kibibytes("sram"),
        dram_bytes=kibibytes("dram"),
        flash_bytes=kibibytes("on_chip_flash", "off_chip_flash"),
        operators=len(network.graph.operators),
        cpu_operators=tuple(cpu_operators),
    )
