"""Problems of a folder of pictures, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sdk.escaping import escaped_line

#: Training cannot start.
REFUSE = "refuse"
#: Training starts without these files or subjects.
LEAVE_OUT = "leave out"
#: Training starts with these files.
WARN = "warn"
SEVERITIES = (REFUSE, LEAVE_OUT, WARN)

_SHOWN_FILES = 5
#: Most names of files in the JSON form of a problem.
MAX_LISTED_FILES = 1000
_LABELS = {REFUSE: "refused", LEAVE_OUT: "left out", WARN: "warning"}


def _quoted(name: str) -> str:
    """Quote a name with a space at an end, which is invisible otherwise."""
    return name if name == name.strip() else f"'{name}'"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A problem of the pictures, with its cure. The names of the fields are keys of the JSON form.

    Args:
        kind: Name of the kind, such as ``identical_images``.
        severity: ``refuse``, ``leave out`` or ``warn``.
        text: Description: what was expected or measured.
        cure: What to do about it.
        files: Names of the files or folders, relative to the folder that was checked.
    """

    kind: str
    severity: str
    text: str
    cure: str
    files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the problem for a JSON report; the list of files is limited, their number is not."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "cure": self.cure,
            "count": len(self.files),
            "files": list(self.files[:MAX_LISTED_FILES]),
        }

    def to_text(self) -> str:
        """Return the problem as text, safe for a terminal: its names in one line, or in one line each if they have messages."""
        lines = [
            f"{_LABELS[self.severity]}: {escaped_line(self.text)}",
            f"  to do: {escaped_line(self.cure)}",
        ]
        if self.files:
            names = [_quoted(escaped_line(name)) for name in self.files[:_SHOWN_FILES]]
            more = len(self.files) - _SHOWN_FILES
            rest = f" and {more:,} more" if more > 0 else ""
            if any(", " in name for name in names):
                lines += [f"  {name}" for name in names] + ([f" {rest}"] if rest else [])
            else:
                lines.append(f"  {', '.join(names)}{rest}")
        return "\n".join(lines)
