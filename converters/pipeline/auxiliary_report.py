"""Result of the conversion of an auxiliary network, as text for a terminal and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.analyze.output_errors import too_large
from converters.analyze.replay_check import ReplayCheck
from converters.refused import RefusedTarget
from converters.targets.check import TargetReport
from edge_sdk.model.card import InputContract

_LISTED = 8  # most outputs whose errors are listed in the text


@dataclass(frozen=True)
class AuxiliaryArtefact:
    """One file of a conversion.

    Args:
        file: Name of the file.
        precision: ``float32`` or ``int8``.
        size_bytes: Size of the file.
        partitions: Number of XNNPACK partitions on this host.
        outside: Operators outside the partitions, which slower kernels run.
        errors: Error of each output on held-out images, by name: RMS of the difference to the float output, as a share of
            the float output's standard deviation. For a replay, as measured at recording; empty if the bytes differ.
        replay: Comparison with the recorded network; None if the file was not replayed without images.
        variation: For a network of another task: variation of each output between images, on the scale of ``errors``.
    """

    file: str
    precision: str
    size_bytes: int
    partitions: int
    outside: tuple[str, ...]
    errors: Mapping[str, float]
    replay: ReplayCheck | None = None
    variation: Mapping[str, float] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """The outputs whose error is too large, as text; empty if there is none."""
        outputs = too_large(self.errors, self.variation) if self.variation else ()
        if not outputs:
            return ""
        name = outputs[0]
        more = f", and {len(outputs) - 1} more" if outputs[1:] else ""
        return (
            f"the error of output {name} is {self.errors[name]:.3f}, and it varies between images by {self.variation[name]:.3f}"
            f"{more}; an error of half the variation or more is too large"
        )

    def lines(self) -> list[str]:
        """Format the file, with the error of each output, for a terminal."""
        outside = f", outside: {', '.join(sorted(set(self.outside)))}" if self.outside else ""
        worst = max(self.errors, key=lambda name: self.errors[name], default="")
        error = (
            f", largest error {self.errors[worst]:.3f} of a standard deviation (output {worst})"
            if worst
            else ""
        )
        lines = [
            f"{self.file}  {self.size_bytes / 1e6:.2f} MB, {self.partitions} XNNPACK"
            f" partition{'s' if self.partitions != 1 else ''}{outside}{error}"
        ]
        if 1 < len(self.errors) <= _LISTED:
            lines.append("  " + ", ".join(f"{name} {share:.3f}" for name, share in self.errors.items()))
        if self.problem:
            lines.append(f"  too inaccurate: {self.problem}")
        if self.replay is not None:
            lines.append(f"{self.file} {self.replay.line()}")
        return lines


@dataclass(frozen=True)
class AuxiliaryReport:
    """Result of the conversion of a network without an embedding.

    Args:
        name: The network's name.
        method: One of ``METHODS``, or ``other task``.
        contract: Its input contract.
        source: Kind, file name, SHA-256 and tools of the source.
        notes: Notes for the reader.
        agreement: Largest difference of an output to that of the source's own runtime, as a share of the output's
            largest value.
        artefacts: The files.
        targets: Findings of each target; empty for auxiliary networks.
        refused: Targets that refused the network.
    """

    name: str
    method: str
    contract: InputContract
    source: Mapping[str, Any]
    notes: tuple[str, ...]
    agreement: float
    artefacts: tuple[AuxiliaryArtefact, ...]
    targets: tuple[TargetReport, ...] = ()
    refused: tuple[RefusedTarget, ...] = ()

    @property
    def inaccurate(self) -> tuple[AuxiliaryArtefact, ...]:
        """Written files with an output whose error is too large."""
        return tuple(artefact for artefact in self.artefacts if artefact.problem)

    @property
    def passed(self) -> bool:
        """True if no target was refused and no file has an error that is too large."""
        return not (self.refused or self.inaccurate)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "schema": "edge-sdk/auxiliary-report/1",
            **asdict(self),
            "contract": self.contract.to_json(),
            "inaccurate": {artefact.file: artefact.problem for artefact in self.inaccurate},
        }

    def to_text(self) -> str:
        """Format the report for a terminal."""
        lines = [
            f"{self.name}: {self.method}, {self.contract.describe()}",
            f"source   {self.source['file']} ({self.source['kind']}); its outputs and those of the float network differ"
            f" by at most {self.agreement:.1e} of an output's largest value",
        ]
        for artefact in self.artefacts:
            lines += artefact.lines()
        for section in self.targets:
            lines += ["", *section.lines()]
        for target in self.refused:
            lines += ["", target.line()]
        return "\n".join([*lines, *(f"note     {note}" for note in self.notes)])
