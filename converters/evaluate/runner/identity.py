"""Identity of a measured artefact: file, model, and the runtime and kernels that ran it."""

from __future__ import annotations

from dataclasses import dataclass

from converters.evaluate.metrics.evidence import Evidence
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.text import measured_with


@dataclass(frozen=True)
class ArtefactIdentity(Evidence):
    """Identity of a measured artefact; every piece of evidence contains one.

    Attributes:
        file: File name without folder.
        sha256: SHA-256 of the whole file, hex.
        model: Name of the model in the card; without a card, the file's stem.
        precision: Such as `int8`; without a card, the type of the input tensor.
        target: Target in the card; empty without a card.
        dimension: Length D of the embedding.
        contract: The input contract, one line.
        has_card: True if the file carries a model card.
        runtime: Package and version of the interpreter.
        kernels: `xnnpack`, `reference`, or a delegate's library with its options. Other kernels give other scores.
        notes: Changes made to open the file, such as a batch made static.
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
        """Return True if both are one file, run with different kernels."""
        return self.sha256 == other.sha256 and self.kernels != other.kernels

    def measured_with(self) -> str:
        """Format kernels and runtime, such as `reference kernels of ai-edge-litert 2.3.0`."""
        return measured_with(self.kernels, self.runtime)


def identity_of(artefact: OpenedArtefact) -> ArtefactIdentity:
    """Collect the identity of an opened artefact."""
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
