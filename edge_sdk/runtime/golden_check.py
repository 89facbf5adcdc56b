"""Check of a backend against golden vectors: the outputs that were computed when the file was built."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.golden import GoldenVectors, digest, generator_of, golden_input
from edge_sdk.model.network_card import MAX_GOLDEN_VALUES
from edge_sdk.runtime.backends.base import Backend, NetworkBackend
from edge_sdk.runtime.quantization import make_encoder


class GoldenVerdict(Enum):
    """Result of a check against golden vectors."""

    RIGHT = "right"
    CONSTANT = "constant"
    OFF = "off"
    OTHER_INPUT = "other input"
    OTHER_OUTPUT = "other output"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class GoldenCheck:
    """Result of a check against golden vectors, with a message.

    Args:
        verdict: ``RIGHT`` if the backend's outputs are correct.
        message: Description of the result; no capital at the start, no full stop.
    """

    verdict: GoldenVerdict
    message: str

    @property
    def right(self) -> bool:
        """True if every output is within the tolerance."""
        return self.verdict is GoldenVerdict.RIGHT


class OneOutput:
    """One output of a network as a backend with one output, reduced to at most ``MAX_GOLDEN_VALUES`` values.

    Args:
        backend: Backend of the network.
        position: Position of the output.
    """

    def __init__(self, backend: NetworkBackend, position: int) -> None:
        self.runtime, self.kernels = backend.runtime, backend.kernels
        self.input, self.output = backend.input, backend.outputs[position]
        self.input_view, self.invoke = backend.input_view, backend.invoke
        self._view, self._position = backend.output_view, position
        self._step = -(-int(np.prod(self.output.shape)) // MAX_GOLDEN_VALUES)

    def output_view(self) -> NDArray[Any]:
        """Return every n-th value of the output."""
        return self._view(self._position).reshape(-1)[:: self._step]


def golden_outputs(
    backend: Backend, contract: AnyContract, seeds: list[int]
) -> tuple[list[str], NDArray[Any]]:
    """Run a backend on generated inputs.

    Args:
        backend: Backend of the network.
        contract: Input contract of the network.
        seeds: Seeds of the inputs.

    Returns:
        The SHA-256 of each input tensor, and the raw outputs: shape (n, D), in the output's dtype.

    Raises:
        ModelContractError: The network does not match the contract.
        ModelError: The backend cannot run it.
    """
    encode = make_encoder(contract, backend.input)
    digests, outputs = [], []
    for seed in seeds:
        encode(golden_input(contract, seed), backend.input_view())
        digests.append(digest(backend.input_view()))
        backend.invoke()
        outputs.append(backend.output_view().reshape(-1).copy())
    return digests, np.stack(outputs)


def check(backend: Backend, contract: AnyContract, golden: GoldenVectors) -> GoldenCheck:
    """Compare a backend's outputs with the golden vectors.

    Args:
        backend: Backend of the network; its runtime and kernels determine the tolerance.
        contract: The card's input contract.
        golden: The card's golden vectors.

    Raises:
        ModelContractError: The network does not match the contract.
        ModelError: The backend cannot run it.
    """
    if golden.generator != generator_of(contract):
        return GoldenCheck(
            GoldenVerdict.UNKNOWN,
            f"cannot generate the inputs of {golden.generator!r}, only those of {generator_of(contract)}; update edge-sdk",
        )
    digests, outputs = golden_outputs(backend, contract, [vector.seed for vector in golden.vectors])
    if digests != [vector.input_sha256 for vector in golden.vectors]:
        return GoldenCheck(
            GoldenVerdict.OTHER_INPUT,
            "the input tensor differs from that on the machine that made the file",
        )
    expected = golden.expected
    if outputs.shape != expected.shape or outputs.dtype.name != golden.dtype:
        return GoldenCheck(
            GoldenVerdict.OTHER_OUTPUT,
            f"expected {expected.shape[1]} values of {golden.dtype},"
            f" found {outputs.shape[1]} of {outputs.dtype.name}",
        )
    count = len(outputs)
    if count > 1 and not (outputs != outputs[:1]).any() and (expected != expected[:1]).any():
        return GoldenCheck(GoldenVerdict.CONSTANT, f"the same embedding for {count} different inputs")
    off = golden.differences(outputs)
    allowed = golden.allowed(backend.runtime, backend.kernels)
    worst = int(off.argmax())
    at_most = f"off by {off[worst]:.4g}, allowed {allowed:.4g} {golden.unit}"
    if off[worst] > allowed:
        wrong = int((off > allowed).sum())
        return GoldenCheck(GoldenVerdict.OFF, f"{wrong} of {count} answers are wrong: {at_most}")
    return GoldenCheck(
        GoldenVerdict.RIGHT,
        f"{count} of {count} answers exact"
        if not off.any()
        else f"{count} of {count} answers right, {at_most}",
    )
