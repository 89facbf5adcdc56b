"""Train in a child process, so that TensorFlow's memory, logs and crashes stay there."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.quantize.distill.options import Length, Point, Trained
from converters.quantize.statistics import TensorRange
from converters.sources.child import environment, last_line
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array

_MAX_LOG_BYTES = 1 << 16


def train(
    teacher: bytes,
    twin: bytes,
    integer: bytes,
    contract: InputContract,
    *,
    pixels: UInt8Array,
    selection: UInt8Array,
    length: Length,
    seed: int,
    highest_rate: float,
    progress: Callable[[int, int], None],
) -> Trained:
    """Train the int8 network's float twin in a child process.

    Args:
        teacher: The float network whose answers are wanted.
        twin: The float network that the int8 network was made of, channel for channel the teacher's.
        integer: The int8 network.
        contract: The input contract of all three.
        pixels: Unlabelled crops, shape (n, H, W, C), uint8, at the network's size.
        selection: Others to choose the best step by.
        length: How long.
        seed: Of order and augmentation.
        highest_rate: Of a weight, relative to its channel, in each step.
        progress: Called with (done, total).

    Raises:
        ConversionError: The network cannot be trained, or how the child ended.
    """
    with tempfile.TemporaryDirectory(prefix="edge-convert-") as name:
        folder = Path(name)
        for file, network in (("teacher", teacher), ("twin", twin), ("integer", integer)):
            (folder / f"{file}.tflite").write_bytes(network)
        np.save(folder / "pixels.npy", pixels)
        np.save(folder / "selection.npy", selection)
        request = {
            "contract": contract.to_json(),
            "steps": length.steps,
            "seconds": length.seconds,
            "seed": seed,
            "highest_rate": highest_rate,
        }
        (folder / "request.json").write_text(json.dumps(request))
        return _answer(folder, _run(folder, progress))


def _run(folder: Path, progress: Callable[[int, int], None]) -> int:
    # oneDNN halves the time of a step; its sums are the same on every run of one machine.
    variables = {**environment(folder), "TF_ENABLE_ONEDNN_OPTS": "1"}
    with (folder / "log.txt").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "converters.quantize.distill.worker", str(folder)],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        with child:
            try:
                for line in child.stdout or ():  # the share that is done
                    progress(round(1000 * float(line)), 1000)
            except BaseException:
                child.kill()  # an interrupted parent leaves no training behind
                raise
    return child.returncode


def _answer(folder: Path, code: int) -> Trained:
    result = folder / "result.json"
    if not result.is_file():
        log = (folder / "log.txt").read_bytes()[-_MAX_LOG_BYTES:].decode(errors="replace")
        why = f"signal {-code}" if code < 0 else last_line(log) or f"exit code {code}"
        raise ConversionError(
            f"recovery: training gave up: {why}",
            hint="the machine may have run out of memory" if code < 0 else None,
        )
    value: dict[str, Any] = json.loads(result.read_text())
    if "error" in value:
        raise ConversionError(value["error"], hint=value["hint"])
    constants = {name: np.load(folder / f"constant_{i}.npy") for i, name in enumerate(value["constants"])}
    return Trained(
        constants,
        {name: TensorRange(low, high) for name, (low, high) in value["ranges"].items()},
        value["steps"],
        tuple(Point(**point) for point in value["curve"]),
        value["best_step"],
        value["images_per_second"],
    )
