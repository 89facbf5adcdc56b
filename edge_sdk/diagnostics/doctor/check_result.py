"""Results of the doctor's checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CheckStatus(Enum):
    """Severity of a result: ``FAIL`` is broken or wrong, ``WARN`` works but deserves attention."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class CheckResult:
    """Result of one check.

    Args:
        status: Severity.
        check: Name of the checked part in one or two words.
        message: What was found.
        advice: What to do; empty if nothing is needed.
    """

    status: CheckStatus
    check: str
    message: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Convert the result to JSON values."""
        return {
            "status": self.status.value,
            "check": self.check,
            "found": self.message,
            "advice": self.advice,
        }


def ok(check: str, message: str) -> CheckResult:
    """Create a result for something that works."""
    return CheckResult(CheckStatus.OK, check, message)


def warn(check: str, message: str, advice: str) -> CheckResult:
    """Create a result for something that works, or is optional, and deserves attention."""
    return CheckResult(CheckStatus.WARN, check, message, advice)


def fail(check: str, message: str, advice: str) -> CheckResult:
    """Create a result for something that is broken or gives wrong results."""
    return CheckResult(CheckStatus.FAIL, check, message, advice)
