"""Network with several named outputs: one image in, float arrays out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelCardError, ModelContractError
from edge_sdk.model.model_file import CardedFile, read_carded
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.runtime.backends.base import NetworkBackend
from edge_sdk.runtime.golden_check import GoldenCheck, OneOutput, check
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.runtime.threads import thread_count
from edge_sdk.types import FloatArray, UInt8Array


@dataclass(frozen=True, eq=False)
class Output:
    """One output tensor of a network.

    Args:
        values: Shape (1, rows, ...); float, or integers with the real value ``scale * (values - zero_point)``.
        scale: Quantization scale, 0 for a float tensor.
        zero_point: Quantization zero point.
    """

    values: NDArray[Any]
    scale: float = 0.0
    zero_point: int = 0

    def real(self, rows: NDArray[np.intp] | None = None) -> FloatArray:
        """Dequantize the output, or some of its rows.

        Args:
            rows: Indices of rows; None dequantizes all.

        Returns:
            A new float32 array: the output's shape, or (n, ...) for n rows.
        """
        chosen = self.values if rows is None else self.values[0].take(rows, axis=0)
        values: FloatArray = chosen.astype(np.float32)
        if self.scale > 0:
            values -= np.float32(self.zero_point)
            values *= np.float32(self.scale)
        return values

    def may_reach(self, least: float) -> NDArray[np.bool_]:
        """Select the rows that may be at or above a value, for an output with one value per row.

        The raw values are compared, so that the many rows below the value need no dequantization. Rows up to two
        quantization steps below it may be selected too.

        Returns:
            Shape (rows,).
        """
        limit = math.floor(least / self.scale) + self.zero_point - 1 if self.scale > 0 else least
        reached: NDArray[np.bool_] = (self.values >= limit).ravel()
        return reached


class _Outputs(Mapping[str, Output]):
    """Outputs of a network; each is copied on access."""

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
    """Runs a network without an embedding, such as a detector or a pose network, by its card.

    Not thread-safe: one network owns one interpreter.

    Args:
        backend: Backend that runs the network, such as ``LiteRtNetwork`` or ``FakeNetwork``.
        card: The network's card.
        sha256: SHA-256 of the file that it was opened from, hex; None if there is no file.

    Raises:
        ModelContractError: The network does not match its card.
    """

    def __init__(self, backend: NetworkBackend, card: NetworkCard, *, sha256: str | None = None) -> None:
        if len(backend.outputs) != len(card.outputs):
            raise ModelContractError(
                f"expected {len(card.outputs)} outputs, as stated in the card, found {len(backend.outputs)}"
            )
        self.card = card
        self.sha256 = sha256
        self._backend = backend
        self._encode = make_encoder(card.input, backend.input)
        self._outputs = _Outputs(backend, tuple(card.outputs))

    @classmethod
    def open(
        cls, path: str | Path, *, task: str, sha256: str | None = None, threads: int | None = None
    ) -> Network:
        """Open a file from ``edge-convert auxiliary`` or ``edge-convert convert --task none``.

        Args:
            path: A .tflite with a network card.
            task: Required task, one of ``network_card.TASKS``.
            sha256: Expected digest, hex; checked before anything is parsed. None skips the check.
            threads: Number of interpreter threads, 1 or more; None for one on each performance core, at most 4.

        Raises:
            ModelError: The file is missing, altered or not a model, or the interpreter refuses it.
            ModelCardError: The file has no network card, a malformed one, or one for another task.
            ModelContractError: The network contradicts its card.
            BackendUnavailableError: No interpreter is installed.
        """
        return cls.of_file(read_carded(path, sha256=sha256), task=task, threads=threads)

    @classmethod
    def of_file(cls, file: CardedFile, *, task: str, threads: int | None = None) -> Network:
        """Open a file that is in memory; arguments and errors as `open`."""
        card = NetworkCard.from_bytes(file.card)
        file.check_network(card.network_sha256)
        if card.task != task:
            raise ModelCardError(f"{file.path}: expected a {task}, found a {card.task}")
        from edge_sdk.runtime.backends.litert import LiteRtNetwork

        return cls(
            LiteRtNetwork(file.content.data, threads=thread_count(threads)), card, sha256=file.content.sha256
        )

    def with_backend(self, wrap: Callable[[NetworkBackend], NetworkBackend]) -> Network:
        """Return the same network with a wrapper around its backend, such as a clock."""
        return Network(wrap(self._backend), self.card, sha256=self.sha256)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each output by name."""
        outputs = self._backend.outputs
        return {name: info.shape for name, info in zip(self.card.outputs, outputs, strict=True)}

    def check_golden(self) -> dict[str, GoldenCheck]:
        """Compare each output with its golden vectors; empty if the card has none.

        Raises:
            ModelError: The backend cannot run the network.
        """
        return {
            name: check(OneOutput(self._backend, position), self.card.input, self.card.golden[name])
            for position, name in enumerate(self.card.outputs)
            if name in self.card.golden
        }

    def run(self, image: UInt8Array) -> dict[str, FloatArray]:
        """Run the network on one image of its input size.

        Args:
            image: Shape (H, W, 3), uint8, RGB; the card's height and width.

        Returns:
            Each output by name, float32, in its own shape; new arrays.
        """
        return {name: output.real() for name, output in self.read(image).items()}

    def read(self, image: UInt8Array) -> Mapping[str, Output]:
        """Run the network; copy and dequantize outputs only on access.

        Args:
            image: Shape (H, W, 3), uint8, RGB; the card's height and width.

        Returns:
            Outputs by name. The mapping is valid until the next run; an ``Output`` taken from it stays valid.
        """
        self._encode(image, self._backend.input_view())
        self._backend.invoke()
        return self._outputs
