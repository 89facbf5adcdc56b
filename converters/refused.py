"""Targets and files that a conversion did not write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RefusedTarget:
    """A target whose files were not written.

    Args:
        name: Name of the target.
        error: The rule, gate or limit that was not met, or the error of a quantizer.
        hint: What to do about it; empty if that is not known.
    """

    name: str
    error: str
    hint: str = ""

    def line(self) -> str:
        """State the refusal in one line of a report."""
        return f"{self.name} was refused, so it has no files: {self.error}"


@dataclass(frozen=True)
class RefusedFile:
    """A file that was not written, of a target with other files that were.

    Args:
        file: Its name.
        error: The limit that it does not keep.
        hint: What to do about it; empty if that is not known.
    """

    file: str
    error: str
    hint: str = ""
