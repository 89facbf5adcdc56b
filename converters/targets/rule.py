"""Rules: functions that check a network and yield findings. The docstring of a rule is shown to the user as its requirement."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from converters.graph.graph import Graph

Severity = Literal["refused", "slow", "note"]

#: The first paragraph of a rule's docstring states the requirement. A rule does no I/O.
Rule = Callable[[Graph], Iterable["RuleFinding"]]

_ORDER: tuple[Severity, ...] = ("refused", "slow", "note")


@dataclass(frozen=True)
class RuleFinding:
    """Violation of a rule, or a fact worth knowing. The field names are keys of the JSON report.

    Args:
        severity: ``refused``: the target cannot run the network, or would run part of it on another processor than requested;
            ``slow``: the network runs, but takes longer than necessary; ``note``: for information.
        found: Observation with its numbers, such as the count of an operator. No capital, no full stop.
        advice: Remedy.
        rule: Name of the rule; ``apply_rules`` sets it.
    """

    severity: Severity
    found: str
    advice: str
    rule: str = ""

    def line(self) -> str:
        """Format the finding as one line."""
        return f"{self.severity} ({self.rule}): {self.found}; {self.advice}"


def name_of(rule: Rule) -> str:
    """Return a rule's name: its function's name with hyphens, such as ``static-shapes``."""
    return rule.__name__.replace("_", "-")


def statement_of(rule: Rule) -> str:
    """Return a rule's requirement: the first paragraph of its docstring, as one line."""
    return " ".join((inspect.getdoc(rule) or "").split("\n\n")[0].split())


def apply_rules(rules: Sequence[Rule], graph: Graph) -> tuple[RuleFinding, ...]:
    """Check a network against rules and return the findings, the most severe first."""
    return worst_first(replace(finding, rule=name_of(rule)) for rule in rules for finding in rule(graph))


def worst_first(findings: Iterable[RuleFinding]) -> tuple[RuleFinding, ...]:
    """Sort findings by severity; findings of the same severity keep their order."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def join_names(names: Sequence[str], *, limit: int = 3) -> str:
    """Join names with commas for a message: the first ``limit`` names, then the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
