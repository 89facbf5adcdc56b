"""A network with several named outputs: one image in, float arrays out, all of them or what is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelCardError, ModelContractError
from edge_sdk.model.model_file import read_carded
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.runtime.backends.base import NetworkBackend
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.types import FloatArray, UInt8Array


@dataclass(frozen=True, eq=False)
class Output:
    """One output as the network left it.

    Args:
        values: Shape (1, rows, ...), float, or integers of real value ``scale * (values - zero_point)``.
        scale: Quantization scale, 0 where the values are real.
        zero_point: Quantization zero point.
    """

    values: NDArray[Any]
    scale: float = 0.0
    zero_point: int = 0

    def real(self, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """A new array: all in the output's own shape, or some rows alone, shape (n, ...); float32."""
        chosen = self.values if rows is None else self.values[0].take(rows, axis=0)
        values: FloatArray = chosen.astype(np.float32)
        if self.scale > 0:
            values -= np.float32(self.zero_point)
            values *= np.float32(self.scale)
        return values

    def may_reach(self, least: float) -> NDArray[np.bool_]:
        """Which rows may be at or above a value, of an output of one value a row; what is a step or two below may be too.

        What the network left is compared, so that the many rows below are never turned to real numbers.

        Returns:
            Shape (rows,).
        """
        limit = math.floor(least / self.scale) + self.zero_point - 1 if self.scale > 0 else least
        reached: NDArray[np.bool_] = (self.values >= limit).ravel()
        return reached


class _Outputs(Mapping[str, Output]):
    """A network's outputs, each copied when it is asked for."""

    def __init__(self, backend: NetworkBackend, names: tuple[str, ...]) -> None:
        self._backend = backend
        self._positions = {name: position for position, name in enumerate(names)}

    def __getitem__(self, name: str) -> Output:
        position = self._positions[name]
        info = self._backend.outputs[position]
        return Output(self._backend.output_view(position).copy(), info.scale, info.zero_point)

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


class Network:
    """Runs an auxiliary network, such as a detector, with what its card says.

    Not thread-safe: one network owns one interpreter.

    Args:
        backend: What runs it, such as ``LiteRtNetwork`` or ``FakeNetwork``.
        card: Its card.

    Raises:
        ModelContractError: The network is not what its card says.
    """

    def __init__(self, backend: NetworkBackend, card: NetworkCard) -> None:
        if len(backend.outputs) != len(card.outputs):
            raise ModelContractError(
                f"expected {len(card.outputs)} outputs, as the card says, found {len(backend.outputs)}"
            )
        self.card = card
        self._backend = backend
        self._encode = make_encoder(card.input, backend.input)
        self._outputs = _Outputs(backend, tuple(card.outputs))

    @classmethod
    def open(cls, path: str | Path, *, task: str, sha256: str | None = None, threads: int = 1) -> Network:
        """Open a file that ``edge-convert auxiliary`` made.

        Args:
            path: The .tflite with its network card inside.
            task: What it must be for, as ``NetworkCard.task`` says it.
            sha256: The digest it must have, hex; checked before anything is parsed.
            threads: Interpreter threads.

        Raises:
            ModelError: The file is missing, altered, not a model, or the interpreter refuses it.
            ModelCardError: No network card inside, a malformed one, or one for another task.
            ModelContractError: The network contradicts its card.
            BackendUnavailableError: No interpreter is installed.
        """
        file = read_carded(path, sha256=sha256)
        card = NetworkCard.from_bytes(file.card)
        file.check_network(card.network_sha256)
        if card.task != task:
            raise ModelCardError(f"{path}: expected a {task}, found a {card.task}")
        from edge_sdk.runtime.backends.litert import LiteRtNetwork

        return cls(LiteRtNetwork(file.data, threads=threads), card)

    def through(self, wrap: Callable[[NetworkBackend], NetworkBackend]) -> Network:
        """The same network with something around its backend, such as a clock."""
        return Network(wrap(self._backend), self.card)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output by name."""
        outputs = self._backend.outputs
        return {name: info.shape for name, info in zip(self.card.outputs, outputs, strict=True)}

    def run(self, image: UInt8Array) -> dict[str, FloatArray]:
        """Run the network on one image of its own size.

        Args:
            image: Shape (H, W, 3), uint8, RGB, H and W as the card says.

        Returns:
            Each output by name, float32, in its own shape; new arrays.
        """
        return {name: output.real() for name, output in self.read(image).items()}

    def read(self, image: UInt8Array) -> Mapping[str, Output]:
        """Run the network as ``run`` does, and copy an output only when it is asked for.

        Returns:
            Each output by name; good until the next run, what was taken from it for ever.
        """
        self._encode(image, self._backend.input_view())
        self._backend.invoke()
        return self._outputs
