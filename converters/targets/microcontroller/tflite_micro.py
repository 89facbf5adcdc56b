"""tflite-micro's own interpreter, on this host: what it answers, in how small an arena, and whether as LiteRT does.

It is the interpreter that the microcontroller runs, with its reference kernels, for x86-64. LiteRT's reference
kernels are the same sources, save that some operators compute the ratio of two scales in float there and in double
here: in PRELU, LEAKY_RELU and FULLY_CONNECTED. A code whose product with that ratio is as good as a tie is then
rounded to the other side, by one step, wherever it occurs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import TargetError
from converters.graph.graph import Graph, indices
from converters.jobs.child_process import run_logged
from edge_sdk.runtime.backends.litert import LiteRtBackend

HOW_TO_GET_IT = "pip install 'edge-sdk[microcontroller]', on x86-64 Linux"
TIMEOUT_S = 600.0
#: What the first run gets; no microcontroller has as much.
LARGEST_ARENA = 64 << 20
#: Of the 256 codes that an operand can have, for how many a kernel may round otherwise than LiteRT's: those whose
#: product with the ratio of two scales is as good as a tie.
ROUNDING_CODES = 8

# Run as a file: imported as a module it would bring every target with it.
_WORKER = Path(__file__).with_name("tflite_micro_worker.py")
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
_ALIGNMENT = 16
_NOISE = re.compile(
    r"^(\s|Traceback |WARNING|INFO|\[Recording|RuntimeError: (TFLM failed to|Interpreter invocation) )"
)


@dataclass(frozen=True)
class MicroRun:
    """What tflite-micro answered.

    Args:
        outputs: The raw output tensor of each input, shape (n, D), int8.
        arena_bytes: The arena that the run took; with a byte less it does not allocate.
    """

    outputs: NDArray[np.int8]
    arena_bytes: int


@dataclass(frozen=True)
class Differing:
    """A kind of operator that rounds otherwise than LiteRT's reference kernel, given the same operands.

    Args:
        name: Such as ``PRELU``.
        values: How many values differ.
        of: Of how many.
        steps: By how many quantization steps at most.
        codes: How many codes of the operand they come from; the values themselves where it has several operands.
    """

    name: str
    values: int
    of: int
    steps: int
    codes: int

    @property
    def rounding(self) -> bool:
        """Whether that is the last bits of a multiplier, and nothing else."""
        return self.steps <= 1 and self.codes <= ROUNDING_CODES


@dataclass(frozen=True)
class Agreement:
    """tflite-micro against LiteRT's reference kernels.

    Args:
        inputs: How many inputs were tried.
        equal: On how many of them every value of the embedding is the same.
        steps: The largest difference of an embedding's value, in quantization steps.
        operators: Where embeddings differ, the kinds of operators that do so by themselves, of each the one that
            differs most.
    """

    inputs: int
    equal: int
    steps: int
    operators: tuple[Differing, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether every value of every embedding is the same."""
        return self.equal == self.inputs

    @property
    def explained(self) -> bool:
        """Whether the same, or apart only by what single operators round otherwise."""
        return self.exact or (bool(self.operators) and all(found.rounding for found in self.operators))


def installed() -> bool:
    """Whether tflite-micro can be run here."""
    return importlib.util.find_spec("tflite_micro") is not None


def run(network: bytes, inputs: NDArray[Any], *, timeout_s: float = TIMEOUT_S) -> MicroRun:
    """Run inputs in the smallest arena that tflite-micro runs the network in.

    Args:
        network: A full-int8 .tflite with one input and one output.
        inputs: Shape (n, H, W, C), in the input tensor's dtype; 1 or more.
        timeout_s: After which tflite-micro is stopped.

    Raises:
        TargetError: Not installed; or tflite-micro refuses the network, crashes, or takes too long.
    """
    _, log = _ask(network, inputs[:1], LARGEST_ARENA, (), timeout_s)
    found = _TOTAL.search(log)
    if found is None:
        raise TargetError("tflite-micro did not say what it allocated")
    # Every allocation is recorded; what a recording allocator needs for itself is not, and is not needed.
    arena_bytes = -(-int(found[1]) // _ALIGNMENT) * _ALIGNMENT
    answer, _ = _ask(network, inputs, arena_bytes, (), timeout_s)
    return MicroRun(answer["output"], arena_bytes)


def reference(network: bytes, inputs: NDArray[Any]) -> NDArray[Any]:
    """What LiteRT's reference kernels answer: the raw output tensor of each input, shape (n, D)."""
    backend = LiteRtBackend(network, kernels="reference")
    outputs = []
    for codes in inputs:
        backend.input_view()[0] = codes
        backend.invoke()
        outputs.append(backend.output_view().reshape(-1).copy())
    return np.stack(outputs)


def compare(network: bytes, inputs: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
    """Hold tflite-micro's answers against LiteRT's reference kernels.

    Args:
        network: The network.
        inputs: What it was asked, shape (n, H, W, C).
        outputs: What tflite-micro answered, shape (n, D).

    Returns:
        The agreement. Where embeddings differ, each operator is run alone in LiteRT, on the operands that
        tflite-micro gave it: so what differs is that operator.
    """
    apart = np.abs(outputs.astype(np.int64) - reference(network, inputs))
    differing = apart.max(axis=1) > 0
    kinds = _differing_operators(network, inputs[differing][0]) if differing.any() else ()
    return Agreement(len(inputs), int((~differing).sum()), int(apart.max()), kinds)


def _differing_operators(network: bytes, codes: NDArray[Any]) -> tuple[Differing, ...]:
    graph = Graph.parse(network)
    computed = {i for i in graph.computed() if graph.dtype_name(i) in ("int8", "int16", "uint8")}
    tensors, _ = _ask(network, codes[None], LARGEST_ARENA, sorted(computed), TIMEOUT_S)
    values = {int(name): found[0] for name, found in tensors.items() if name != "output"}
    values[graph.inputs[0]] = codes.reshape(-1)
    found: dict[str, Differing] = {}
    for position, operator in enumerate(graph.operators):
        name, output = graph.op_name(operator), indices(operator.outputs)[0]
        operands = [
            i for i in dict.fromkeys(indices(operator.inputs)) if i >= 0 and graph.constant(i) is None
        ]
        if not all(i in values for i in [*operands, output]):
            continue
        apart = np.abs(values[output].astype(np.int64) - _alone(network, position, operands, values))
        if apart.any():
            here = apart > 0
            operand = values[operands[0]]
            alike = operand.size == apart.size
            one = Differing(
                name,
                values=int(here.sum()),
                of=apart.size,
                steps=int(apart.max()),
                codes=np.unique(operand[here]).size if alike else int(here.sum()),
            )
            found[name] = max(one, found.get(name, one), key=lambda kind: (kind.steps, kind.codes))
    return tuple(found.values())


def _alone(
    network: bytes, position: int, operands: Sequence[int], values: dict[int, NDArray[Any]]
) -> NDArray[np.int64]:
    """What LiteRT's reference kernel makes of an operator's operands."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = Graph.parse(network)
    operator = graph.operators[position]
    subgraph = graph.model.subgraphs[0]
    subgraph.operators, subgraph.inputs = [operator], list(operands)
    graph.set_outputs(indices(operator.outputs)[:1])
    names = [graph.name(i) for i in operands]
    graph.prune()
    interpreter = Interpreter(
        model_content=graph.to_bytes(), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        operand = operands[names.index(detail["name"])]
        interpreter.set_tensor(
            detail["index"], values[operand].reshape(detail["shape"]).astype(detail["dtype"])
        )
    interpreter.invoke()
    answer: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return answer.reshape(-1).astype(np.int64)


def _ask(
    network: bytes, inputs: NDArray[Any], arena_bytes: int, tensors: Sequence[int], timeout_s: float
) -> tuple[dict[str, NDArray[Any]], str]:
    if not installed():
        raise TargetError("tflite-micro is not installed", hint=HOW_TO_GET_IT)
    with tempfile.TemporaryDirectory(prefix="edge-convert-micro-") as name:
        folder = Path(name)
        (folder / "network.tflite").write_bytes(network)
        np.save(folder / "inputs.npy", inputs)
        request = {"arena_bytes": arena_bytes, "tensors": [int(i) for i in tensors]}
        (folder / "request.json").write_text(json.dumps(request))
        try:
            code, log = run_logged(
                ["-P", str(_WORKER), str(folder)],
                folder,
                environment={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                timeout_s=timeout_s,
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError(f"tflite-micro took longer than {timeout_s:g} s") from error
        text = log[-(1 << 16) :].decode(errors="replace")
        if code or not (folder / "output.answer.npy").is_file():
            ended = f"crashed ({signal.Signals(-code).name})" if code < 0 else "does not run the network"
            raise TargetError(f"tflite-micro {ended}: {_last_words(text)}")
        return {path.name.split(".")[0]: np.load(path) for path in folder.glob("*.answer.npy")}, text


def _last_words(log: str) -> str:
    """What tflite-micro said itself, before Python's traceback of it."""
    said = [line.strip() for line in log.splitlines() if line.strip() and not _NOISE.match(line)]
    return "; ".join(said[-3:])[:300] or "it said nothing"
