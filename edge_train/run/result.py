"""Result of a run, as text for a terminal and as JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_train.data.problems import LEAVE_OUT

SCHEMA = "edge-sdk/training-run/1"


@dataclass(frozen=True)
class RunResult:
    """Result of a run. The same values are in ``NAME.training.json`` of the output folder.

    Args:
        output: The output folder.
        values: JSON values: plan, split, training, files with their error rates, notes, refusals.
    """

    output: Path
    values: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """True if no target and no file was refused."""
        return not self.values["refusals"]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return dict(self.values)

    def _remarks(self) -> list[str]:
        """Return the remarks of the check of the pictures, without those that the notes repeat."""
        problems = self.values["check"]["problems"]
        return [
            f"{'left out: ' if problem['severity'] == LEAVE_OUT else ''}{problem['text']}"
            for problem in problems
            if problem["kind"] != "low_evidence"
        ]

    def to_text(self) -> str:
        """Format the result for a terminal."""
        split, training = self.values["split"], self.values["training"]
        parts = (
            f"{split[part]['subjects']} subjects ({split[part]['images']} images) for {part}"
            for part in split
        )
        lines = [
            f"{self.values['name']}: {', '.join(parts)}",
            f"trained {training['steps']} steps in {training['seconds']:.0f} s",
            *(f"note: {note}" for note in self.values["notes"]),
            *(f"pictures: {text}" for text in self._remarks()),
            "",
        ]
        files = self.values["files"]
        width = max(len(file["file"]) for file in files)
        lines.append(f"{'file':<{width}}  {'size':>8}  {'EER':>7}  TAR at FMR")
        for file in files:
            rates = "  ".join(f"{point['fmr']:g}: {100 * point['tar']:.2f} %" for point in file["points"])
            eer = "-" if file["eer"] is None else f"{100 * file['eer']:.2f} %"
            lines.append(
                f"{file['file']:<{width}}  {file['size_bytes'] / 1e6:>5.2f} MB  {eer:>7}  {rates or '-'}"
            )
        thresholds = [
            f"threshold {point['threshold']:.4f} for FMR {point['fmr']:g} in the card of {file['file']}"
            for file in files
            if file["file"] == self.values["main"]
            for point in file["thresholds"]
        ]
        lines += ["", *thresholds] if thresholds else []
        lines += [f"error: {refusal}" for refusal in self.values["refusals"]]
        lines += ["", f"results: {self.output}"]
        if self.values["page"] is not None:
            lines.append(f"page: {self.output / self.values['page']}")
        return "\n".join(lines)
