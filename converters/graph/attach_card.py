"""Put a model card into a .tflite: as a TFLite Metadata buffer, and as a file in an appended ZIP archive."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from converters.graph.metadata import BUFFER_NAME, metadata_buffer
from converters.graph.network import Network
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import bundle
from edge_sdk.model.network_card import NetworkCard

#: Key in ``source`` of a compiled file's card; its value is the SHA-256 of the whole file that was compiled, hex.
COMPILED_FROM = "compiled_from"


def with_card(network: Network, card: ModelCard) -> bytes:
    """Make the deployable file: the network, its TFLite Metadata and its model card.

    Args:
        network: The network, with or without metadata.
        card: The model card; this function fills in ``network_sha256``.

    Returns:
        The file's bytes; the same arguments give the same bytes.
    """
    graph = network.edit()
    graph.set_metadata(BUFFER_NAME, metadata_buffer(card))
    graph.prune()
    return card_behind(graph.to_bytes(), card)


def with_network_card(network: Network, card: NetworkCard) -> bytes:
    """Make the deployable file of a network without an embedding: the network and its network card.

    Args:
        network: The network.
        card: The network card; this function fills in ``network_sha256``.

    Returns:
        The file's bytes; the same arguments give the same bytes.
    """
    card = replace(card, network_sha256=network.digest)
    return bundle(network.data, card.to_bytes())


def with_compiled_card(compiled: bytes, card: ModelCard, *, compiled_from: str) -> bytes:
    """Append the card to a network compiled for a chip, without changing the network's bytes.

    Args:
        compiled: The compiler's FlatBuffer. Rewriting it could change the order of tensors that its program relies on.
        card: Card of the network that was compiled; this function fills in ``network_sha256``.
        compiled_from: SHA-256 of the whole file that was compiled, hex; it goes into the card's ``source``.
    """
    source = {**card.source, COMPILED_FROM: compiled_from}
    return card_behind(compiled, replace(card, source=source))


def card_behind(flatbuffer: bytes, card: ModelCard) -> bytes:
    """Make the deployable file of a network that has its metadata already; the network's bytes are not changed.

    Args:
        flatbuffer: The network.
        card: The model card; this function fills in ``network_sha256``.
    """
    card = replace(card, network_sha256=hashlib.sha256(flatbuffer).hexdigest())
    return bundle(flatbuffer, card.to_bytes())
