"""Ask a backend the golden vectors, and say whether it computes what its file's maker computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.card import InputContract
from edge_sdk.model.golden import GENERATOR, GoldenVectors, digest, smooth_field
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.quantization import make_encoder


class GoldenVerdict(Enum):
    """What golden vectors say of a backend."""

    RIGHT = "right"
    CONSTANT = "constant"
    OFF = "off"
    OTHER_INPUT = "other input"
    OTHER_OUTPUT = "other output"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class GoldenCheck:
    """What was found.

    Args:
        verdict: ``RIGHT`` where the backend may be relied on.
        found: The same in words; no capital, no full stop.
    """

    verdict: GoldenVerdict
    found: str

    @property
    def right(self) -> bool:
        """Whether every answer was within tolerance."""
        return self.verdict is GoldenVerdict.RIGHT


def answers(backend: Backend, contract: InputContract, seeds: list[int]) -> tuple[list[str], NDArray[Any]]:
    """Run a backend on smooth fields.

    Args:
        backend: What runs the network.
        contract: Its input contract.
        seeds: Which inputs.

    Returns:
        The SHA-256 of each input tensor, and the raw outputs: shape (n, D), in the output's dtype.

    Raises:
        ModelContractError: The network is not what the contract says.
        ModelError: The backend cannot run it.
    """
    encode = make_encoder(contract, backend.input)
    digests, outputs = [], []
    for seed in seeds:
        encode(smooth_field(contract.shape, seed), backend.input_view())
        digests.append(digest(backend.input_view()))
        backend.invoke()
        outputs.append(backend.output_view().reshape(-1).copy())
    return digests, np.stack(outputs)


def check(backend: Backend, contract: InputContract, golden: GoldenVectors) -> GoldenCheck:
    """Hold a backend against the golden vectors.

    Args:
        backend: What runs the network; its runtime and kernels decide the tolerance.
        contract: The card's input contract.
        golden: The card's golden vectors.

    Raises:
        ModelContractError: The network is not what the contract says.
        ModelError: The backend cannot run it.
    """
    if golden.generator != GENERATOR:
        return GoldenCheck(
            GoldenVerdict.UNKNOWN,
            f"inputs of {golden.generator!r} cannot be drawn here ({GENERATOR} can); update edge-sdk",
        )
    digests, found = answers(backend, contract, [vector.seed for vector in golden.vectors])
    if digests != [vector.input_sha256 for vector in golden.vectors]:
        return GoldenCheck(
            GoldenVerdict.OTHER_INPUT,
            "the input tensor holds other values than on the machine that made the file",
        )
    expected = golden.answers
    if found.shape != expected.shape or found.dtype.name != golden.dtype:
        return GoldenCheck(
            GoldenVerdict.OTHER_OUTPUT,
            f"expected {expected.shape[1]} values of {golden.dtype}, found {found.shape[1]} of {found.dtype.name}",
        )
    count = len(found)
    if count > 1 and not (found != found[:1]).any():
        return GoldenCheck(GoldenVerdict.CONSTANT, f"the same embedding for {count} different inputs")
    off = golden.differences(found)
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
