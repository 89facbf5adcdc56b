"""Places of two images that make their cosine, for pairs of a data set; ``edge_sdk.vision.explanation`` computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from converters.graph.network import Network
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.explanation import PairExplainer, PairExplanation
from edge_sdk.vision.explanation_picture import explanation_picture, png


@dataclass(frozen=True, eq=False)
class NamedPair:
    """Two crops to explain.

    Args:
        names: Names of the two images.
        crops: The crops, each of shape (H, W, C), uint8, at the network's size.
        mated: True if both show one subject; None if that is not known.
    """

    names: tuple[str, str]
    crops: tuple[UInt8Array, UInt8Array]
    mated: bool | None = None


@dataclass(frozen=True, eq=False)
class PairStudy:
    """An explained pair.

    Args:
        pair: The pair.
        explanation: Its maps.
    """

    pair: NamedPair
    explanation: PairExplanation

    def picture(self) -> UInt8Array:
        """Draw both images with their maps: shape (H, W, 3), uint8, RGB."""
        return explanation_picture(self.explanation, names=self.pair.names)

    def png(self) -> bytes:
        """Draw both images with their maps as a PNG file."""
        return png(self.picture())

    def to_json(self) -> dict[str, Any]:
        """Return the maps as JSON values, without the images."""
        return {"images": list(self.pair.names), "mated": self.pair.mated, **self.explanation.to_json()}


def explain_pairs(
    network: Network,
    contract: InputContract,
    pairs: Sequence[NamedPair],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[PairStudy, ...]:
    """Explain pairs by the exact shares of positions, if the network is linear after its last activation, and by occlusion.

    Args:
        network: A .tflite with one input and one output, float or integer.
        contract: Its input contract.
        pairs: The pairs.
        progress: Called with (done, total).

    Raises:
        InputError: A crop has another size or type than expected, or an embedding is zero or not finite.
        ModelError: The interpreter refuses the network, or the network contradicts the contract.
    """
    explainer = PairExplainer(network.data, contract)
    studies = []
    for pair in pairs:
        studies.append(PairStudy(pair, explainer.explain(*pair.crops)))
        if progress is not None:
            progress(len(studies), len(pairs))
    return tuple(studies)
