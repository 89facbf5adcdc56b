"""A rule: a function from a network to what it breaks. Its docstring states it, in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from converters.graph.graph import Graph

Severity = Literal["refused", "slow", "note"]

#: The first line of a rule's docstring is the rule; it looks at the network and does no I/O.
Rule = Callable[[Graph], Iterable["RuleFinding"]]

_ORDER: tuple[Severity, ...] = ("refused", "slow", "note")


@dataclass(frozen=True)
class RuleFinding:
    """Where a network breaks a rule.

    Args:
        severity: ``refused``: the target does not run it, or runs it elsewhere than asked; ``slow``: it
            runs, and costs time; ``note``: good to know.
        found: What was found: how many of which operator, which tensor. No capital, no full stop.
        advice: What to do about it.
        rule: The rule's name; ``judge`` fills it in from the function's.
    """

    severity: Severity
    found: str
    advice: str
    rule: str = ""

    def line(self) -> str:
        """All of it in one line."""
        return f"{self.severity} ({self.rule}): {self.found}; {self.advice}"


def name_of(rule: Rule) -> str:
    """A rule's name: its function's, with hyphens, such as ``static-shapes``."""
    return rule.__name__.replace("_", "-")


def statement_of(rule: Rule) -> str:
    """A rule in words: its docstring's first paragraph, in one line."""
    return " ".join((inspect.getdoc(rule) or "").split("\n\n")[0].split())


def judge(rules: Sequence[Rule], graph: Graph) -> tuple[RuleFinding, ...]:
    """Hold a network against rules; what is worst comes first."""
    found = [replace(finding, rule=name_of(rule)) for rule in rules for finding in rule(graph)]
    return worst_first(found)


def worst_first(findings: Iterable[RuleFinding]) -> tuple[RuleFinding, ...]:
    """Findings in the order a reader wants them; among equals, as they were found."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.severity)))


def named(items: Sequence[str], *, limit: int = 3) -> str:
    """Names for a message, the first few of them."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more
