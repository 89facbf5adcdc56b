"""One line of the doctor's answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How a check went: ``FAIL`` does not work or is wrong, ``WARN`` works and deserves a look."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Args:
        status: How it went.
        check: What was looked at, a word or two.
        found: What was found.
        advice: What to do; empty where there is nothing to do.
    """

    status: Status
    check: str
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """The same as JSON values."""
        return {
            "status": self.status.value,
            "check": self.check,
            "found": self.found,
            "advice": self.advice,
        }


def ok(check: str, found: str) -> Finding:
    """It works."""
    return Finding(Status.OK, check, found)


def warn(check: str, found: str, advice: str) -> Finding:
    """It works, or may be left out, and deserves a look."""
    return Finding(Status.WARN, check, found, advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """It does not work, or answers wrongly."""
    return Finding(Status.FAIL, check, found, advice)
