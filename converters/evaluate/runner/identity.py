"""Which file was measured, and what ran it: the part that every piece of evidence begins with."""

from __future__ import annotations

from dataclasses import dataclass

from converters.evaluate.metrics.evidence import Evidence
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.text import measured_with


@dataclass(frozen=True)
class ArtefactIdentity(Evidence):
    """Which file was measured.

    Attributes:
        file: Its name, without folder.
        sha256: Of the whole file, hex.
        model: The model's name: the card's, else the file's stem.
        precision: Such as `int8`; that of the input tensor where there is no card.
        target: The card's; empty without one.
        dimension: Length D of the embedding.
        contract: The input contract, one line.
        has_card: Whether the file carries a model card.
        runtime: Package and version that ran it.
        kernels: What computed in it: `xnnpack`, `reference`, or a delegate's library with its options. Scores
            of others are others.
        notes: What was done to open it, such as `shapes made static`.
    """

    file: str
    sha256: str
    model: str
    precision: str
    target: str
    dimension: int
    contract: str
    has_card: bool
    runtime: str
    kernels: str
    notes: tuple[str, ...] = ()

    def same_file_as(self, other: ArtefactIdentity) -> bool:
        """Whether this is one file held against itself in other kernels."""
        return self.sha256 == other.sha256 and self.kernels != other.kernels

    def measured_with(self) -> str:
        """What ran it, in words, such as `reference kernels of ai-edge-litert 2.3.0`."""
        return measured_with(self.kernels, self.runtime)


def identity_of(artefact: OpenedArtefact) -> ArtefactIdentity:
    """What a report says of the file."""
    card = artefact.card
    return ArtefactIdentity(
        file=artefact.path.name,
        sha256=artefact.sha256,
        model=card.name,
        precision=card.precision,
        target=card.target,
        dimension=card.dimension,
        contract=card.input.describe(),
        has_card=artefact.has_card,
        runtime=artefact.execution.runtime,
        kernels=artefact.execution.name,
        notes=artefact.notes,
    )
