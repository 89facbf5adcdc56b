"""A network with several named outputs: one image in, float arrays out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_sdk.errors import ModelCardError, ModelContractError
from edge_sdk.inference.backends.base import NetworkBackend, TensorInfo
from edge_sdk.inference.model_file import read_carded
from edge_sdk.inference.network_card import NetworkCard
from edge_sdk.inference.quantization import make_encoder
from edge_sdk.types import FloatArray, UInt8Array


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
        from edge_sdk.inference.backends.litert import LiteRtNetwork

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
        self._encode(image, self._backend.input_view())
        self._backend.invoke()
        return {
            name: _real(self._backend, position, info)
            for position, (name, info) in enumerate(
                zip(self.card.outputs, self._backend.outputs, strict=True)
            )
        }


def _real(backend: NetworkBackend, position: int, info: TensorInfo) -> FloatArray:
    values: FloatArray = backend.output_view(position).astype(np.float32)
    if info.scale > 0:
        values -= np.float32(info.zero_point)
        values *= np.float32(info.scale)
    return values
