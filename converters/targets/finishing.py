"""Generate the by-products of an existing artefact again: after its card has changed, or for another target.

By-products depend only on the file's bytes and the target's options, and a conversion generates them by the same function. So the same
file always gives the same by-products.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, TargetError
from converters.graph.attach_card import COMPILED_FROM
from converters.output import staged, write_all
from converters.targets import loadable_targets, targets
from converters.targets.base import ArtefactFile, Target, target_options
from converters.targets.check import TargetReport, finish_artefact
from edge_sdk.model.model_file import ModelFile

SCHEMA = "edge-sdk/finishing/1"


@dataclass(frozen=True)
class FinishReport:
    """Result of ``edge-convert finish``.

    Args:
        file: Name of the artefact.
        sha256: SHA-256 of the artefact, hex; the by-products contain it.
        section: Findings, and the names of the by-products.
        output: Folder of the by-products.
    """

    file: str
    sha256: str
    section: TargetReport
    output: Path

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values, without the output folder."""
        return {"schema": SCHEMA, "file": self.file, "sha256": self.sha256, **asdict(self.section)}

    def to_text(self) -> str:
        """Format the report for a terminal."""
        return "\n".join([*self.section.lines(), f"generated from SHA-256 {self.sha256}, in {self.output}"])


def finish_file(
    path: Path,
    *,
    target: str = "",
    output: Path | None = None,
    allow: Collection[str] = (),
    options: Mapping[str, str] | None = None,
) -> FinishReport:
    """Check an artefact against its target's rules and write its by-products.

    Args:
        path: A .tflite with its card.
        target: Name of the target; if empty, the target in the card.
        output: Folder to write to; if None, the folder of the artefact.
        allow: Names of rules whose refusals are ignored.
        options: Target options: ``TARGET.OPTION`` -> value.

    Raises:
        ModelError: The file is missing, damaged, or not a .tflite.
        ModelCardError: The file has no card, or a malformed one.
        TargetError: The target refuses the file; nothing was written.
        ConversionError: The file is a compiled one, the target or an option is unknown, the target has no by-products, or the output
            cannot be written.
    """
    file = ModelFile.open(path)
    if origin := file.card.source.get(COMPILED_FROM):
        raise ConversionError(
            f"{path}: expected an artefact that is not compiled, found a compiled file",
            hint=f"finish the file that it was compiled from, SHA-256 {str(origin)[:12]}...",
        )
    chosen = _finishable_target(target, file.card.target)
    values = target_options(chosen, options or {})
    report, files = finish_artefact(chosen, ArtefactFile.parse(path.name, file.data, values), allowed=allow)
    if not files:
        # If there are no files, the first finding is that the target's tool is not installed.
        reason = report.findings[0] if report.findings else None
        raise TargetError(
            f"{chosen.name}: {path.name}: {reason.found if reason else 'no files to generate'}; nothing was written",
            hint=reason.advice if reason else None,
        )
    folder = path.parent if output is None else output
    with staged(folder) as staging:
        write_all(staging, files)
    return FinishReport(path.name, file.sha256, TargetReport(chosen.name, chosen.summary, (report,)), folder)


def stale_by_products(path: Path, sha256: str) -> dict[str, tuple[str, ...]]:
    """List stale by-products: files generated from an earlier version of an artefact.

    Args:
        path: The .tflite; by-products are searched in its folder.
        sha256: Current SHA-256 of the whole file, hex.

    Returns:
        Target -> names of its by-products that do not contain this SHA-256.
    """
    neighbours = [entry for entry in path.resolve().parent.iterdir() if entry.is_file()]
    stale = {
        target.name: tuple(
            sorted(
                entry.name
                for entry in neighbours
                if any(fnmatch(entry.name, pattern) for pattern in target.by_products(path.stem))
                and sha256.encode() not in entry.read_bytes()
            )
        )
        for target in loadable_targets()
    }
    return {name: files for name, files in stale.items() if files}


def _finishable_target(requested: str, of_card: str) -> Target:
    name = requested or of_card
    target = targets().get(name)
    if target is not None and target.finish is not None:
        return target
    finishable = [target.name for target in loadable_targets() if target.finish is not None]
    if requested and target is None:
        raise ConversionError(f"expected a target of {', '.join(finishable)}, found {requested!r}")
    raise ConversionError(
        f"no files are generated from an artefact for {name}",
        hint=f"choose a target that has generated files: --target {'|'.join(finishable)}",
    )
