"""Explanation of a comparison: which places of two images make their cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edge_sdk.errors import InputError, ModelContractError, ModelError
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.input_contract import InputContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder, unit_embedding
from edge_sdk.types import FloatArray, UInt8Array
from edge_sdk.vision.decomposition import Decomposer, PositionShares
from edge_sdk.vision.occlusion import PATCH_PX, STRIDE_PX, OcclusionMap, check_crop, make_occlusion_map

#: ``positions``: the exact shares of the positions of the last activation map. ``occlusion``: the decrease of the cosine if a
#: grey patch covers a place.
Method = Literal["positions", "occlusion"]
METHODS: tuple[Method, ...] = ("positions", "occlusion")


@dataclass(frozen=True, eq=False)
class PairExplanation:
    """Places at which two images are alike for a network.

    Args:
        first, second: The crops, shape (H, W, C), uint8.
        cosine: Cosine of their embeddings, -1..1.
        positions: Shares of the first and of the second image; None if not requested or refused.
        occlusion: Occlusion maps of the first and of the second image; None if not requested.
        refused: Reason for the lack of `positions`; empty if they were not requested or exist.
    """

    first: UInt8Array
    second: UInt8Array
    cosine: float
    positions: tuple[PositionShares, PositionShares] | None = None
    occlusion: tuple[OcclusionMap, OcclusionMap] | None = None
    refused: str = ""

    def maps(self) -> list[tuple[Method, FloatArray, FloatArray]]:
        """Return (method, map of the first image, map of the second image), each of shape (rows, columns)."""
        maps: list[tuple[Method, FloatArray, FloatArray]] = []
        if self.positions is not None:
            maps.append(("positions", self.positions[0].values, self.positions[1].values))
        if self.occlusion is not None:
            maps.append(("occlusion", self.occlusion[0].falls, self.occlusion[1].falls))
        return maps

    def to_json(self) -> dict[str, Any]:
        """Return the maps as JSON values, without the images."""
        return {
            "cosine": round(self.cosine, 6),
            "positions": None if self.positions is None else [shares.to_json() for shares in self.positions],
            "occlusion": None if self.occlusion is None else [fall.to_json() for fall in self.occlusion],
            "refused": self.refused or None,
        }


def explained_contract(contract: AnyContract) -> InputContract:
    """Return the contract of a network of images; raises ModelContractError for one of arrays, which have no places."""
    if isinstance(contract, ArrayContract):
        raise ModelContractError(
            f"expected a network of images to explain, found a network of arrays of shape {list(contract.shape)}",
            hint="the maps show places of an image; an array has none",
        )
    return contract


class PairExplainer:
    """Explains comparisons of one network. Not thread-safe: it owns interpreters.

    Args:
        data: Content of a .tflite with one input and one output, with or without a card.
        contract: Its input contract.
        methods: At least one method. If ``occlusion`` is among them, a network whose embedding cannot be split by
            position is explained without ``positions``, and the explanation states the reason.
        threads: Number of interpreter threads, 1 or more.

    Raises:
        InputError: No method is given.
        ModelContractError: The network contradicts the contract; or ``positions`` is the only method and the network is not
            linear after its last activation map.
        ModelError: The network cannot be read, or the interpreter refuses it.
        BackendUnavailableError: No interpreter is installed.
    """

    def __init__(
        self,
        data: bytes,
        contract: InputContract,
        *,
        methods: Sequence[Method] = METHODS,
        threads: int = 1,
    ) -> None:
        if not methods:
            raise InputError("expected at least one method, found none")
        self.contract = contract
        self._occlude = "occlusion" in methods
        self._decomposer: Decomposer | None = None
        self.refused = ""
        self._backend = LiteRtBackend(data, threads=threads)
        self._encode = make_encoder(contract, self._backend.input)
        if "positions" in methods:
            try:
                self._decomposer = Decomposer(data, contract, threads=threads)
            except ModelError as error:
                if not self._occlude:
                    raise
                self.refused = str(error)

    def explain(self, first: UInt8Array, second: UInt8Array) -> PairExplanation:
        """Explain the cosine of two crops.

        Args:
            first, second: Shape (H, W, C), uint8, at the network's size.

        Raises:
            InputError: A crop has another size or type than expected, or an embedding is zero or not finite.
            ModelError: ``positions`` is the only method, and the sum of the parts is not the network's embedding, or the file
                states other shapes than the interpreter computes.
        """
        crops = (first, second)
        for crop in crops:
            check_crop(crop, self.contract)
        embeddings = self.embed(np.stack(crops))
        positions = occlusion = None
        refused = self.refused
        if self._decomposer is not None:
            try:
                parts = [self._decomposer.split(crop) for crop in crops]
                positions = (parts[0].shares(parts[1].embedding), parts[1].shares(parts[0].embedding))
            except ModelError as error:
                if not self._occlude:
                    raise
                refused = str(error)
        if self._occlude:
            maps = [self._occlusion(crop, embeddings[1 - place]) for place, crop in enumerate(crops)]
            occlusion = (maps[0], maps[1])
        cosine = float(np.clip(embeddings[0] @ embeddings[1], -1.0, 1.0))
        return PairExplanation(first, second, cosine, positions, occlusion, refused)

    def embed(self, crops: UInt8Array) -> FloatArray:
        """Embed crops, shape (n, H, W, C), uint8, at the network's size: shape (n, D), float32, unit rows."""
        rows = []
        for crop in crops:
            self._encode(crop, self._backend.input_view())
            self._backend.invoke()
            rows.append(unit_embedding(self._backend.output_view(), self._backend.output.zero_point))
        return np.stack(rows)

    def _occlusion(self, crop: UInt8Array, reference: FloatArray) -> OcclusionMap:
        side = min(crop.shape[:2])
        patch, stride = min(PATCH_PX, side), min(STRIDE_PX, side)
        return make_occlusion_map(
            self.embed, self.contract, crop, reference=reference, patch_px=patch, stride_px=stride
        )
