"""Exact decomposition of a cosine by position, for a network that is linear after its last activation.

The embedding of such a network is a sum of one part for each position of the last activation map, and of one part of
the constants. The dot product is linear, so the cosine of two images is the sum of one share for each position of the
first image, or of the second, and of a share of the constants. No gradient and no approximation is involved; Grad-CAM
(Selvaraju et al. 2017) and CAM (Zhou et al. 2016) are the classifier's relatives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import ModelContractError
from edge_sdk.model.input_contract import InputContract
from edge_sdk.model.network_graph import NetworkGraph
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.linear_tail import LinearTail
from edge_sdk.runtime.quantization import make_encoder, unit_embedding
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.occlusion import check_crop

#: Largest accepted 1 - cosine between the network's embedding and the sum of the parts. Measured: float 1e-7; integers, which
#: round inside the tail, up to 2.4e-4. Saturated codes, which are not linear, give more.
FLOAT_TOLERANCE, INTEGER_TOLERANCE = 1e-5, 2e-3


@dataclass(frozen=True, eq=False)
class EmbeddingParts:
    """The embedding of one image as a sum over positions.

    Args:
        parts: Shape (H', W', D), float32: the part of each position, divided by the norm of the sum.
        constant: Shape (D,), float32: the part of the constants, divided by the same norm.
        embedding: Shape (D,), float32: the network's own unit embedding, which the sum gives up to rounding.
    """

    parts: FloatArray
    constant: FloatArray
    embedding: FloatArray

    def shares(self, other: FloatArray) -> PositionShares:
        """Split the cosine to another unit embedding, shape (D,), by this image's positions."""
        values = self.parts @ other
        constant = float(self.constant @ other)
        cosine = float(self.embedding @ other)
        return PositionShares(
            values, constant, cosine - constant - float(values.sum(dtype=np.float64)), cosine
        )


@dataclass(frozen=True, eq=False)
class PositionShares:
    """Shares of one image's positions in a cosine: values, constant and remainder add up to it.

    Args:
        values: Shape (H', W'), float32. A share below 0 makes the two images less alike.
        constant: Share of the network's constants, which no position changes.
        remainder: Rounding: about 1e-7 for a float network, up to about 1e-2 for an integer one.
        cosine: The network's own cosine of the two images.
    """

    values: FloatArray
    constant: float
    remainder: float
    cosine: float

    def to_json(self) -> dict[str, Any]:
        """Return the shares as JSON values."""
        return {
            "shares": [[round(float(v), 5) for v in row] for row in self.values],
            "constant": round(self.constant, 5),
            "remainder": round(self.remainder, 7),
        }


class Decomposer:
    """Splits embeddings of a network by position. Not thread-safe: it owns two interpreters.

    Args:
        data: Content of a .tflite with one input and one output, with or without a card.
        contract: Its input contract.
        threads: Number of interpreter threads, 1 or more.

    Raises:
        ModelContractError: The network is not linear after its last activation map, or contradicts the contract.
        ModelError: The network cannot be read, or the interpreter refuses it.
        BackendUnavailableError: No interpreter is installed.
    """

    def __init__(self, data: bytes, contract: InputContract, *, threads: int = 1) -> None:
        self.contract = contract
        # The interpreter checks the file's structure, the encoder the contract.
        self._network = LiteRtBackend(data, threads=threads)
        self._encode = make_encoder(contract, self._network.input)
        graph = NetworkGraph.read(data)
        self.tail = LinearTail.find(graph)
        self._map = LiteRtBackend(graph.with_output(data, self.tail.tensor), threads=threads)

    def split(self, crop: UInt8Array) -> EmbeddingParts:
        """Split the embedding of one crop by position: two inferences and the tail in numpy.

        Args:
            crop: Shape (H, W, C), uint8, at the network's size.

        Raises:
            InputError: The crop has another size or type than expected, or the embedding is zero or not finite.
            ModelContractError: The sum of the parts is not the network's embedding.
        """
        check_crop(crop, self.contract)
        embedding = unit_embedding(self._run(self._network, crop), self._network.output.zero_point)
        parts, constant = self.tail.parts(self._run(self._map, crop))
        total = parts.sum(axis=(0, 1), dtype=np.float64) + constant
        norm = float(np.linalg.norm(total))
        cosine = float(total @ embedding / norm) if norm > 0 and total.shape == embedding.shape else 0.0
        tolerance = INTEGER_TOLERANCE if self.tail.integer else FLOAT_TOLERANCE
        if not 1 - cosine <= tolerance:
            raise ModelContractError(
                f"expected the network's embedding as the sum of its parts, found a cosine of {cosine:.6f} between the two",
                hint="use an occlusion map, which needs only embeddings (--method occlusion)",
            )
        return EmbeddingParts(parts / np.float32(norm), constant / np.float32(norm), embedding)

    def activation_map(self, crop: UInt8Array) -> FloatArray:
        """Compute the last activation map of one crop: shape (H', W', C), float32, real values.

        Raises:
            InputError: The crop has another size or type than expected.
        """
        check_crop(crop, self.contract)
        values: FloatArray = self.tail.real(self._run(self._map, crop))[0]
        return values

    def _run(self, backend: LiteRtBackend, crop: UInt8Array) -> NDArray[Any]:
        self._encode(crop, backend.input_view())
        backend.invoke()
        return backend.output_view().copy()
