"""Docstrings, names and words keep to the rules of CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.pages import PAGES, ROOT, is_ours

FOLDERS = ("edge_sdk", "converters", "edge_train", "tools", "firmware_examples", "tests")
TREES = {
    path: ast.parse(path.read_text(encoding="utf-8"))
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if is_ours(path)
}

#: A docstring states what a thing does or is; it does not ask a question.
OPENING = re.compile(r"(What|Where|How|Which|Who|Whom|Whose|Whether|When|Why|As)\b")

#: These names say nothing about the value.
EMPTY_NAMES = {"found", "told", "said", "asked", "one", "wished", "wanted"}

#: A word that was private to this project, and the standard term.
STANDARD_TERMS = {
    r"spelled out": "decomposed",
    r"float twin": "float reference",
    r"foreign operators?": "unsupported operator",
    r"count of failures": "failed attempts",
    r"let in no more": "no longer accepted",
    r"gone on with": "continued",
    r"is let in\b": "is accepted",
    r"lies beside": "is in the same folder as",
    r"\bgenuine\b": "mated",
    r"\bimpostors?\b": "non-mated",
    r"\bfaceprints?\b": "template",
}


def test_no_docstring_opens_with_a_question_word() -> None:
    problems = []
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                if OPENING.match(text):
                    problems.append(f"{path}:{getattr(node, 'lineno', 1)}: {text.splitlines()[0]}")
    assert not problems, "\n".join(problems)


def test_no_variable_has_an_empty_name() -> None:
    problems = []
    for path, tree in TREES.items():
        # Fields of values are JSON keys, which stay.
        fields = {
            id(statement.target)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for statement in node.body
            if isinstance(statement, ast.AnnAssign)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in fields:
                name = node.id
            else:
                name = node.arg if isinstance(node, ast.arg) else ""
            if name in EMPTY_NAMES:
                problems.append(f"{path}:{getattr(node, 'lineno', 1)}: {name}")
    assert not problems, "\n".join(problems)


def test_the_standard_term_is_used() -> None:
    problems = []
    for path in [*TREES, *PAGES]:
        text = "" if path == Path(__file__) else path.read_text(encoding="utf-8")
        for word, term in STANDARD_TERMS.items():
            match = re.search(word, text, re.IGNORECASE)
            if match is not None:
                problems.append(f"{path}: {match[0]!r}: use {term!r}")
    assert not problems, "\n".join(problems)
