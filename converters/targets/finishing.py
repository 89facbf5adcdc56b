"""Finish a file again: write what lies beside it anew, after its card has changed or for another target.

Conversion finishes through the same function. What it makes follows from the file's bytes and the settings, so
that the same file gives the same sources, whoever asks and whenever.
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
from converters.targets import TARGETS
from converters.targets.base import Finished, Target, settings_of
from converters.targets.check import Section, finish
from edge_sdk.model.model_file import ModelFile

SCHEMA = "edge-sdk/finishing/1"


@dataclass(frozen=True)
class Finish:
    """What was made of a file.

    Args:
        file: Its name.
        sha256: Of the whole file, hex; what was made says it.
        section: What was found, and the files' names.
        output: The folder that they lie in.
    """

    file: str
    sha256: str
    section: Section
    output: Path

    def to_json(self) -> dict[str, Any]:
        """The same as JSON values; no path."""
        return {"schema": SCHEMA, "file": self.file, "sha256": self.sha256, **asdict(self.section)}

    def to_text(self) -> str:
        """The same for a terminal."""
        return "\n".join([*self.section.lines(), f"made of SHA-256 {self.sha256}, in {self.output}"])


def finish_again(
    path: Path,
    *,
    target: str = "",
    output: Path | None = None,
    allow: Collection[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Finish:
    """Finish a file that is converted: check its rules, make what its target wants beside it, write that.

    Args:
        path: A .tflite with its card.
        target: What to finish it for; the card's own where empty.
        output: The folder to write to; the file's where None.
        allow: Rules whose refusals are taken as they are.
        settings: ``target.setting`` -> value.

    Raises:
        ModelError: Missing, damaged, not a .tflite.
        ModelCardError: No card inside, or a malformed one.
        TargetError: The target refuses the file; nothing was written.
        ConversionError: A file that was compiled already, an unknown target or setting, a target that wants nothing beside a file, or the
            output cannot be written.
    """
    file = ModelFile.open(path)
    if origin := file.card.source.get(COMPILED_FROM):
        raise ConversionError(
            f"{path}: expected a file to finish, found one that was compiled already",
            hint=f"finish the file that it was compiled from, SHA-256 {str(origin)[:12]}...",
        )
    chosen = _target(target, file.card.target)
    told = settings_of(chosen, settings or {})
    part, files = finish(chosen, Finished.of(path.name, file.data, told), allowed=allow)
    if not files:
        # A finding says which tool is not installed here.
        reason = part.findings[0] if part.findings else None
        raise TargetError(
            f"{chosen.name}: {path.name}: {reason.found if reason else 'nothing to make'}; nothing was written",
            hint=reason.advice if reason else None,
        )
    folder = path.parent if output is None else output
    with staged(folder) as staging:
        write_all(staging, files)
    return Finish(path.name, file.sha256, Section(chosen.name, chosen.summary, (part,)), folder)


def made_before(path: Path, sha256: str) -> dict[str, tuple[str, ...]]:
    """What lies beside a file and was made of it when it had other bytes.

    Args:
        path: The .tflite.
        sha256: Of the whole file now, hex.

    Returns:
        Target -> names of such files, each told by the digest that it does not hold.
    """
    beside = [entry for entry in path.resolve().parent.iterdir() if entry.is_file()]
    found = {
        target.name: tuple(
            sorted(
                entry.name
                for entry in beside
                if any(fnmatch(entry.name, pattern) for pattern in target.beside(path.stem))
                and sha256.encode() not in entry.read_bytes()
            )
        )
        for target in TARGETS.values()
    }
    return {name: files for name, files in found.items() if files}


def _target(asked: str, of_card: str) -> Target:
    finishing = [target.name for target in TARGETS.values() if target.finish is not None]
    name = asked or of_card
    if name in finishing:
        return TARGETS[name]
    if asked and asked not in TARGETS:
        raise ConversionError(f"expected a target of {', '.join(finishing)}, found {asked!r}")
    raise ConversionError(
        f"a file for {name} has nothing beside it that is made of it",
        hint=f"--target {'|'.join(finishing)} says what to make",
    )
