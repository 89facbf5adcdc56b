"""Run networks in tflite-micro's interpreter on the host: outputs, arena size, and a comparison with LiteRT's reference kernels.

This is the interpreter of the microcontroller with its reference kernels, built for x86-64. LiteRT's reference kernels have the same sources, but
for PRELU, LEAKY_RELU and FULLY_CONNECTED one of the two computes the ratio of two scales in float, the other in double. If a value times this
ratio is almost halfway between two integers, the results differ by one step.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.errors import TargetError
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.jobs.child_process import ChildError, run_job
from edge_sdk.extras import install_command
from edge_sdk.runtime.backends.litert import LiteRtBackend

HOW_TO_GET_IT = f"{install_command('microcontroller')}, on x86-64 Linux"
TIMEOUT_S = 600.0
#: Arena of the first run, in bytes; larger than the RAM of any microcontroller.
LARGEST_ARENA = 64 << 20
#: At most this many of an operand's 256 values may be rounded differently from LiteRT. Their product with the ratio of two
#: scales lies almost halfway between two integers.
ROUNDING_CODES = 8

# The worker runs as a file, because as a module it would import its parent packages.
_WORKER = Path(__file__).with_name("interpreter_worker.py")
_TOTAL = re.compile(r"Arena allocation total (\d+) bytes")
_ALIGNMENT = 16
_NOISE = re.compile(
    r"^(\s|Traceback |WARNING|INFO|\[Recording|RuntimeError: (TFLM failed to|Interpreter invocation) )"
)


@dataclass(frozen=True)
class MicroRun:
    """Result of running a network in tflite-micro.

    Args:
        outputs: Raw output tensor of each input, shape (n, D), int8.
        arena_bytes: Size of the smallest sufficient arena.
    """

    outputs: NDArray[np.int8]
    arena_bytes: int


@dataclass(frozen=True)
class OperatorDifference:
    """Difference between tflite-micro and LiteRT's reference kernel for one kind of operator with the same operands.

    Args:
        name: Kind of the operator, such as ``PRELU``.
        values: Number of output values that differ.
        of: Number of output values.
        steps: Largest difference in quantization steps.
        codes: Number of distinct operand values that lead to a difference; equal to ``values`` if the shapes of operand and output differ.
    """

    name: str
    values: int
    of: int
    steps: int
    codes: int

    @property
    def rounding(self) -> bool:
        """True if rounding of a multiplier explains the difference."""
        return self.steps <= 1 and self.codes <= ROUNDING_CODES


@dataclass(frozen=True)
class Agreement:
    """Comparison of tflite-micro with LiteRT's reference kernels.

    Args:
        inputs: Number of inputs compared.
        equal: Number of inputs with identical embeddings.
        steps: Largest difference of an embedding's value in quantization steps.
        operators: If embeddings differ: for each kind of operator that computes differently by itself, the largest difference.
    """

    inputs: int
    equal: int
    steps: int
    operators: tuple[OperatorDifference, ...] = ()

    @property
    def exact(self) -> bool:
        """True if all embeddings are identical."""
        return self.equal == self.inputs

    @property
    def explained(self) -> bool:
        """True if all embeddings are identical, or if the rounding of single operators explains the differences."""
        return self.exact or (bool(self.operators) and all(operator.rounding for operator in self.operators))


def installed() -> bool:
    """Return True if tflite-micro is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def run(network: Network, inputs: NDArray[Any], *, timeout_s: float = TIMEOUT_S) -> MicroRun:
    """Run a network on inputs, in the smallest sufficient arena.

    Args:
        network: Full-int8 network with one input and one output.
        inputs: Shape (n, H, W, C), n at least 1, in the input tensor's dtype.
        timeout_s: Time limit of each of the two runs, in seconds.

    Raises:
        TargetError: tflite-micro is not installed, rejects the network, crashes, or exceeds the time limit.
    """
    _, log = _run_worker(network, inputs[:1], LARGEST_ARENA, (), timeout_s)
    total = _TOTAL.search(log)
    if total is None:
        raise TargetError("tflite-micro's log does not contain the size of the allocation")
    # The total includes every allocation except those of the recording allocator itself, which the second run does not use.
    arena_bytes = -(-int(total[1]) // _ALIGNMENT) * _ALIGNMENT
    tensors, _ = _run_worker(network, inputs, arena_bytes, (), timeout_s)
    return MicroRun(tensors["output"], arena_bytes)


def run_reference(network: Network, inputs: NDArray[Any]) -> NDArray[Any]:
    """Run a network with LiteRT's reference kernels and return the raw output tensor of each input, shape (n, D)."""
    backend = LiteRtBackend(network.data, kernels="reference")
    outputs = []
    for codes in inputs:
        backend.input_view()[0] = codes
        backend.invoke()
        outputs.append(backend.output_view().reshape(-1).copy())
    return np.stack(outputs)


def compare(network: Network, inputs: NDArray[Any], outputs: NDArray[Any]) -> Agreement:
    """Compare tflite-micro's outputs with those of LiteRT's reference kernels.

    Args:
        network: The network.
        inputs: Inputs, shape (n, H, W, C).
        outputs: Outputs of tflite-micro for these inputs, shape (n, D).

    Returns:
        The agreement. If embeddings differ, LiteRT runs each operator alone on the operands that it had in tflite-micro, which shows
        the operators that compute differently.
    """
    differences = np.abs(outputs.astype(np.int64) - run_reference(network, inputs))
    differing = differences.max(axis=1) > 0
    kinds = _differing_operators(network, inputs[differing][0]) if differing.any() else ()
    return Agreement(len(inputs), int((~differing).sum()), int(differences.max()), kinds)


def _differing_operators(network: Network, codes: NDArray[Any]) -> tuple[OperatorDifference, ...]:
    graph = network.graph
    computed = {i for i in graph.computed() if graph.dtype_name(i) in ("int8", "int16", "uint8")}
    tensors, _ = _run_worker(network, codes[None], LARGEST_ARENA, sorted(computed), TIMEOUT_S)
    values = {int(name): tensor[0] for name, tensor in tensors.items() if name != "output"}
    values[graph.inputs[0]] = codes.reshape(-1)
    largest: dict[str, OperatorDifference] = {}
    for position, operator in enumerate(graph.operators):
        name, output = graph.op_name(operator), indices(operator.outputs)[0]
        operands = [
            i for i in dict.fromkeys(indices(operator.inputs)) if i >= 0 and graph.constant(i) is None
        ]
        if not all(i in values for i in [*operands, output]):
            continue
        expected = _run_operator(network, position, operands, values)
        differences = np.abs(values[output].astype(np.int64) - expected)
        if differences.any():
            differs = differences > 0
            operand = values[operands[0]]
            same_size = operand.size == differences.size
            difference = OperatorDifference(
                name,
                values=int(differs.sum()),
                of=differences.size,
                steps=int(differences.max()),
                codes=np.unique(operand[differs]).size if same_size else int(differs.sum()),
            )
            largest[name] = max(
                difference, largest.get(name, difference), key=lambda kind: (kind.steps, kind.codes)
            )
    return tuple(largest.values())


def _run_operator(
    network: Network, position: int, operands: Sequence[int], values: dict[int, NDArray[Any]]
) -> NDArray[np.int64]:
    """Run one operator with LiteRT's reference kernel and return its output, flattened."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    graph = network.edit()
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
    result: NDArray[Any] = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return result.reshape(-1).astype(np.int64)


def _run_worker(
    network: Network, inputs: NDArray[Any], arena_bytes: int, tensors: Sequence[int], timeout_s: float
) -> tuple[dict[str, NDArray[Any]], str]:
    if not installed():
        raise TargetError("tflite-micro is not installed", hint=HOW_TO_GET_IT)
    try:
        with run_job(
            ("-P", str(_WORKER)),
            {"arena_bytes": arena_bytes, "tensors": [int(i) for i in tensors]},
            arrays={"inputs": inputs},
            files={"network.tflite": network.data},
            timeout_s=timeout_s,
        ) as job:
            return {name: job.array(name) for name in job.value["answers"]}, job.log
    except ChildError as error:
        if error.end == "timeout":
            raise TargetError(f"tflite-micro {error}") from error
        reason = error if error.end == "crashed" else "does not run the network"
        raise TargetError(f"tflite-micro {reason}: {_error_lines(error.log)}") from error


def _error_lines(log: str) -> str:
    """Return tflite-micro's own last messages, without Python's traceback."""
    messages = [line.strip() for line in log.splitlines() if line.strip() and not _NOISE.match(line)]
    return "; ".join(messages[-3:])[:300] or "no message in its log"
