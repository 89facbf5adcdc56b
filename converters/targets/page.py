"""``docs/reference/targets.md``, from the rules themselves: what is on the page is what the code does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from converters.targets.base import Target
from converters.targets.rule import Rule, name_of, statement_of

_HEAD = """# Targets

What each target runs and refuses. This page is generated from the rules:
`edge-convert targets --markdown > docs/reference/targets.md`; a test holds it equal to them.

`edge-convert lint FILE --target NAME` holds a file against them, before anything is converted; `edge-convert
convert --target NAME` does so on its way. A finding is *refused* (the target does not run it, or not where it was
asked to), *slow*, or a *note*. What is refused ends a conversion with exit 1 and nothing written; `--allow RULE`
takes one rule's refusals as they are, and the report keeps them.
"""


def to_markdown(targets: Iterable[Target]) -> str:
    """The whole page."""
    targets = list(targets)
    lines = [_HEAD, *_overview(targets)]
    for target in targets:
        lines += ["", *_target(target)]
    return "\n".join(lines) + "\n"


def to_text(targets: Iterable[Target]) -> str:
    """One line for each target, for a terminal."""
    targets = list(targets)
    width = max(len(target.name) for target in targets)
    return "\n".join(f"{target.name:<{width}}  {target.summary}" for target in targets)


def to_json(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """The same as the page, as JSON values."""
    return [
        {
            "name": target.name,
            "summary": target.summary,
            "makes": dict(target.makes),
            "network_rules": {name_of(rule): statement_of(rule) for rule in target.network_rules},
            "file_rules": {name_of(rule): statement_of(rule) for rule in target.file_rules},
            "operators": dict(target.operators),
            "settings": {s.name: {"default": s.default, "meaning": s.meaning} for s in target.settings},
            "kernels": target.kernels,
            "notes": list(target.notes),
        }
        for target in targets
    ]


def _overview(targets: Iterable[Target]) -> Iterator[str]:
    yield "| target | what it is | files it makes (recipe) |"
    yield "|---|---|---|"
    for target in targets:
        files = ", ".join(f"`{name}` ({recipe})" for name, recipe in target.makes.items())
        yield f"| [`{target.name}`](#{target.name}) | {target.summary} | {files} |"


def _target(target: Target) -> Iterator[str]:
    yield f"## {target.name}"
    yield ""
    yield f"{target.summary[0].upper()}{target.summary[1:]}."
    if target.notes:
        yield ""
        yield from (f"- {note}" for note in target.notes)
    if target.kernels != "xnnpack":
        yield f"- `edge-convert evaluate` measures its files with LiteRT's {target.kernels} kernels, which are nearest to it."
    yield from _rules("Of the float network, before it is converted", target.network_rules)
    yield from _rules("Of the finished file", target.file_rules)
    if target.settings:
        yield ""
        yield f"### Settings of {target.name} (`--set {target.name}.NAME=VALUE`)"
        yield ""
        yield "| setting | default | |"
        yield "|---|---|---|"
        yield from (f"| `{s.name}` | `{s.default}` | {s.meaning} |" for s in target.settings)
    if target.operators:
        yield ""
        yield f"### Operators of {target.name}"
        free = [name for name, condition in target.operators.items() if not condition]
        if free:
            yield ""
            yield f"Whatever their parameters: {', '.join(free)}."
        yield ""
        yield "| operator | under which conditions |"
        yield "|---|---|"
        yield from (f"| {name} | {said} |" for name, said in target.operators.items() if said)


def _rules(title: str, rules: Iterable[Rule]) -> Iterator[str]:
    rules = list(rules)
    if rules:
        yield ""
        yield f"{title}:"
        yield ""
        yield "| rule | |"
        yield "|---|---|"
        yield from (f"| `{name_of(rule)}` | {statement_of(rule)} |" for rule in rules)
