"""Count instructions per stage of a frame in an emulator; counts do not depend on the load of the machine.

    python -m tools.instructions --embedder work/demo/products.cpu_int8.tflite --detector drawn --baseline tools/instructions.json
    python -m tools.instructions --embedder sface.cpu_int8.tflite --detector yunet.cpu_int8.tflite --markdown

qemu's user mode runs the device path, and its plugin (`instruction_counter.c`) counts. `--machine aarch64` emulates a Cortex-A72 with Debian's
Python, `x86_64` a Haswell with this Python. Instructions are no times: a cache miss and a multiplication count as one instruction
each. They find regressions: with --baseline the exit code is 1 if a stage has over 2 % (and 2,000) more instructions than recorded there; --record writes
the baseline. A baseline is valid for one machine, its versions of Python, numpy and LiteRT, and networks of the same names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk import console
from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.model_file import ModelFile

#: Largest change of a stage that is no regression: 2 %, but at least 2,000 instructions. The counts of 40 runs beside other work
#: differ by up to 720 instructions in each small stage, which is 2 % of the smallest.
TOLERANCE, LEAST_TOLERANCE = 0.02, 2000
FRAME = (480, 640, 3)
DRAWN = Path("drawn")
_HERE = Path(__file__).parent


class CountingError(EdgeSdkError):
    """Instructions cannot be counted here, or not be compared with the baseline."""


def main(argv: Sequence[str] | None = None) -> int:
    """Count, print the table, and compare it with a baseline."""
    parser = argparse.ArgumentParser(
        prog="instructions", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--embedder", type=Path, required=True, help=".tflite with its card")
    add(
        "--detector",
        type=Path,
        help="face detector with its card, or drawn for a small one with random weights (default: count aligned crops)",
    )
    add("--frame", type=Path, help="RGB frame or crop as .npy, uint8 (default: a drawn one without a face)")
    add("--machine", choices=("aarch64", "x86_64"), default="aarch64", help="default: %(default)s")
    add(
        "--baseline",
        type=Path,
        help="exit with 1 if a stage has over 2 %% (and 2,000) more instructions than recorded there",
    )
    add("--record", type=Path, metavar="FILE", help="write the counts as a baseline")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return console.run("instructions", lambda: _run(parser.parse_args(argv)))


def _run(arguments: argparse.Namespace) -> int:
    counted = count(arguments.embedder, arguments.detector, arguments.frame, machine=arguments.machine)
    if arguments.json:
        print(json.dumps(counted, indent=1))
    else:
        print(to_markdown(counted) if arguments.markdown else to_text(counted))
    if arguments.record:
        arguments.record.write_text(json.dumps(counted, indent=1) + "\n")
    if not arguments.baseline:
        return 0
    problems = compare(counted, json.loads(arguments.baseline.read_text()))
    for problem in problems:
        console.say("instructions", f"error: {problem}")
    return console.CLEAN_NEGATIVE if problems else 0


def count(embedder: Path, detector: Path | None, frame: Path | None, *, machine: str) -> dict[str, Any]:
    """Count the instructions of each stage.

    Args:
        embedder: The embedder.
        detector: The face detector; None to count aligned crops, `DRAWN` for a small network with random weights.
        frame: The image as .npy; None for a drawn one.
        machine: ``aarch64`` or ``x86_64``.

    Raises:
        CountingError: The emulator, its plugin or the compiler is missing, or the program fails.
    """
    with tempfile.TemporaryDirectory(prefix="instructions-") as name:
        folder = Path(name)
        if detector == DRAWN:
            from tests.face_networks import write_detector

            detector = write_detector(folder / "detector.tflite")
        if frame is None:
            frame = folder / "frame.npy"
            shape = FRAME if detector else ModelFile.open(embedder).card.input.shape
            np.save(frame, _drawn(shape))
        counts = folder / "count"
        counts.touch()
        plugin = f"{_plugin(folder)},count={counts}"
        program = [
            str(_HERE / "instruction_stages.py"),
            str(counts),
            str(embedder.resolve()),
            str(detector.resolve()) if detector else "-",
            str(frame.resolve()),
        ]
        run = _run_on_aarch64 if machine == "aarch64" else _run_on_x86_64
        os.environ["QEMU_PLUGIN"] = plugin  # qemu's option -plugin
        try:
            done = run(program)
        finally:
            del os.environ["QEMU_PLUGIN"]
    if done.returncode:
        raise CountingError(f"{machine}: {done.stderr.strip()[-300:] or f'exit code {done.returncode}'}")
    networks = {"embedder": embedder.name, "detector": detector.name if detector else ""}
    return {"schema": "edge-sdk/instructions/1", **json.loads(done.stdout), "networks": networks}


def tolerance(instructions: int) -> float:
    """Compute the largest change of a stage's count that is no regression."""
    return max(TOLERANCE * instructions, LEAST_TOLERANCE)


def compare(counted: Mapping[str, Any], baseline: Mapping[str, Any]) -> list[str]:
    """List the stages with more instructions than in a baseline, beyond the tolerance; empty if there are none.

    Raises:
        CountingError: The baseline is of another machine, other versions or other networks.
    """
    for what in ("machine", "versions", "networks"):
        if counted[what] != baseline.get(what):
            raise CountingError(
                f"expected counts for the {what} of the baseline, {baseline.get(what)}, found {counted[what]}",
                hint="record the baseline again with --record, and commit it with the change that caused it",
            )
    before, now = baseline["stages"], counted["stages"]
    problems = [f"stage {name!r}: expected the stages of the baseline" for name in before.keys() ^ now.keys()]
    for name in before.keys() & now.keys():
        if now[name] > before[name] + tolerance(before[name]):
            change = now[name] / before[name] - 1
            problems.append(
                f"stage {name!r}: {now[name]:,} instructions, {100 * change:+.1f} % from {before[name]:,}"
            )
    return sorted(problems)


def to_text(counted: Mapping[str, Any]) -> str:
    """Format the counts for a terminal, in millions of instructions per frame."""
    stages = {**counted["stages"], "all": sum(counted["stages"].values())}
    lines = [f"{name:<16} {value / 1e6:>10.3f} M" for name, value in stages.items()]
    return "\n".join([f"instructions per frame, {counted['machine']}", *lines])


def to_markdown(counted: Mapping[str, Any]) -> str:
    """Format the counts as a Markdown table, in millions of instructions per frame."""
    total = sum(counted["stages"].values())
    rows = [*counted["stages"].items(), ("all", total)]
    lines = [f"| {name} | {value / 1e6:.3f} | {100 * value / total:.1f} % |" for name, value in rows]
    return "\n".join(
        [f"| stage, {counted['machine']} | million instructions | share |", "|---|---|---|", *lines]
    )


def _plugin(folder: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise CountingError(
            "expected a C compiler for the plugin of qemu, found none", hint="apt-get install gcc"
        )
    plugin = folder / "instruction_counter.so"
    source = _HERE / "instruction_counter.c"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", plugin, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CountingError(f"{source.name}: {done.stderr.strip()[-300:]}")
    return plugin


def _emulator(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise CountingError(f"expected the emulator {name}, found none", hint="apt-get install qemu-user")
    return program


def _run_on_aarch64(program: Sequence[str]) -> subprocess.CompletedProcess[str]:
    from tests.arm.emulation import AARCH64, EmulationUnavailableError, prepare

    _emulator(AARCH64.emulator)  # the one that the tests download is linked statically and loads no plugin
    try:
        return prepare(AARCH64).run(*program)
    except EmulationUnavailableError as error:
        raise CountingError(f"aarch64: {error}") from error


def _run_on_x86_64(program: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(_HERE.parent),
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [_emulator("qemu-x86_64"), "-cpu", "Haswell", sys.executable, *program]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def _drawn(shape: Sequence[int]) -> np.ndarray:
    """Draw a smooth image without a face, the same on every machine."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    planes = [(rows * (3 + c) + columns * (5 - c)) // 16 % 200 + 20 for c in range(shape[2])]
    return np.stack(planes, axis=-1).astype(np.uint8)


if __name__ == "__main__":
    sys.exit(main())
