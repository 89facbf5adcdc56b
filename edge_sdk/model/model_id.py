"""Identity of a model: the digest of its file, the id of its embedding space, and the digest of its evidence."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import ModelCard, card_bytes

LABEL = b"edge-sdk/model/space@v1"
EVIDENCE_LABEL = b"edge-sdk/model/evidence@v1"
# Version of the steps from an aligned crop to the input tensor: crop, resize, colour order, normalization. A change
# that alters embeddings raises it.
PREPROCESSING = 1
_COLORS = {"rgb": 1, "bgr": 2, "gray": 3}


class ModelId(bytes):
    """SHA-256 of a model file, 32 bytes, that also carries the id of its embedding space and the digest of its evidence.

    Galleries are bound to the space, so a file whose card gets new thresholds keeps its galleries. Only a gallery that
    edge-sdk 0.2 created, or a program that passes plain bytes, is bound to the file.

    Args:
        file: SHA-256 of the model file, 32 bytes.
        space: Id of the embedding space, 32 bytes, from `space_id`.
        evidence: Digest of the evidence in the card, 32 bytes, from `evidence_id`; empty if it is not known.
    """

    _space: bytes
    _evidence: bytes

    def __new__(cls, file: bytes, *, space: bytes, evidence: bytes = b"") -> ModelId:
        """Make an id from the digests."""
        model = super().__new__(cls, file)
        model._space, model._evidence = bytes(space), bytes(evidence)
        return model

    def __getnewargs_ex__(self) -> tuple[tuple[bytes], dict[str, Any]]:
        """Return the arguments for copies and pickles."""
        return (bytes(self),), {"space": self._space, "evidence": self._evidence}

    @classmethod
    def of(cls, file: bytes, card: ModelCard) -> ModelId:
        """Return the id of a file with this digest and card."""
        return cls(file, space=space_id(card.network_sha256, card.input), evidence=evidence_id(card))

    @property
    def space(self) -> bytes:
        """Id of the embedding space, 32 bytes."""
        return self._space

    @property
    def evidence(self) -> bytes:
        """Digest of the evidence in the card, 32 bytes; empty if it is not known."""
        return self._evidence


def space_id(network_sha256: str, contract: AnyContract) -> bytes:
    """Return the id of the embedding space of a network and its input contract.

    Embeddings of two files can be compared if this id is the same. Names, thresholds, evidence and golden vectors do
    not change it.

    Args:
        network_sha256: SHA-256 of the FlatBuffer part of the model file, hex.
        contract: Size, color order, normalization and alignment of images; or shape, type and range of arrays.

    Returns:
        SHA-256 of the label and a canonical encoding of the arguments, 32 bytes; docs/reference/gallery-format.md
        describes it.
    """
    network = network_sha256.lower().encode()
    if isinstance(contract, ArrayContract):
        # Adding 0.0 turns -0.0 into 0.0, as below.
        ends = [float(end) + 0.0 for end in contract.real_range]
        described = card_bytes({**contract.to_json(), "range": ends})
        return hashlib.sha256(LABEL + network + b"\0" + described).digest()
    points = [value for point in contract.alignment or () for value in point]
    # Adding 0.0 turns -0.0, which normalizes pixels in the same way, into 0.0.
    numbers = [float(value) + 0.0 for value in (*contract.mean, *contract.scale, *points)]
    sizes = struct.pack(
        "<HHHBB",
        PREPROCESSING,
        contract.height,
        contract.width,
        _COLORS[contract.color],
        len(contract.alignment or ()),
    )
    return hashlib.sha256(LABEL + network + sizes + struct.pack(f"<{len(numbers)}d", *numbers)).digest()


def evidence_id(card: ModelCard) -> bytes:
    """Return the digest of the evidence in a card, 32 bytes: operating points, calibration and distribution of scores.

    A gallery stores it, so that thresholds are not taken from a card that was changed afterwards.
    """
    points = [point.to_json() for point in card.operating_points]
    evidence: dict[str, Any] = {"operating_points": points, "probability": card.probability}
    if card.non_mated_scores is not None:
        evidence["non_mated_scores"] = card.non_mated_scores.to_json()
    return hashlib.sha256(EVIDENCE_LABEL + card_bytes(evidence)).digest()
