"""A network as a value: its bytes, parsed and hashed at most once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from converters.graph.graph import Graph


@dataclass(frozen=True)
class Network:
    """One version of a .tflite network; two networks are equal if their bytes are.

    Args:
        data: The FlatBuffer.
    """

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _versions.setdefault(self.data, self)

    @classmethod
    def of(cls, graph: Graph) -> Network:
        """Create a network from a rewritten graph; later changes to the graph do not change the network.

        Returns:
            The network in use that has the same bytes, so that they are not parsed again; a new network if there is none.
        """
        data = graph.to_bytes()
        return _versions.get(data) or cls(data)

    @cached_property
    def graph(self) -> Graph:
        """The parsed network, shared by all readers: use ``edit`` to change it.

        Raises:
            SourceError: The bytes are not a .tflite, are damaged, or contain more than one subgraph.
        """
        from converters.graph.graph import Graph  # slow to import, and not needed to pass a network on

        return Graph.parse(self.data)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()

    def edit(self) -> Graph:
        """Return a private copy of the graph for rewriting."""
        return self.graph.copy()


#: Networks in use, by their bytes.
_versions: WeakValueDictionary[bytes, Network] = WeakValueDictionary()
