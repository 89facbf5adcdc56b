"""Text from files reaches a terminal without control characters, and JSON keeps its meaning."""

from __future__ import annotations

import json
import unicodedata

import pytest

from edge_sdk import console
from edge_sdk.errors import ModelError
from edge_sdk.escaping import escaped, escaped_line

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u200b\ufeff\r\n\tb"


def test_no_control_character_is_left_in_a_line() -> None:
    line = escaped_line(HOSTILE)
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    assert line.startswith("a\\u001b]0;owned\\u0007") and line.endswith("\\u000d\\u000a\\u0009b")


def test_text_keeps_its_lines_and_tabs() -> None:
    assert escaped("one\n\ttwo \u00e9 \u5b57") == "one\n\ttwo \u00e9 \u5b57"
    assert escaped("one\r\x1b") == "one\\u000d\\u001b"


@pytest.mark.parametrize(
    "hidden", ["\xad", "\u061c", "\u180e", "\u206a", "\ufffb", "\U000e0041", "\U0001d173"]
)
def test_rare_invisible_characters_are_escaped(hidden: str) -> None:
    line = escaped_line(f"a{hidden}b")
    assert line.isascii() and json.loads(f'"{line}"') == f"a{hidden}b"


def test_json_keeps_its_meaning() -> None:
    text = json.dumps({"name": HOSTILE}, ensure_ascii=False)
    assert json.loads(escaped(text)) == {"name": HOSTILE}


def test_errors_and_hints_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise ModelError("x\x1b[2J\nedge-sdk: accepted", hint="y\x07")

    assert console.run("edge-sdk", fail) == 3
    assert capsys.readouterr().err == (
        "edge-sdk: error: x\\u001b[2J\\u000aedge-sdk: accepted\nedge-sdk: hint: y\\u0007\n"
    )


def test_usage_errors_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    parser = console.Parser(prog="p")
    parser.add_subparsers().add_parser("command").add_argument("--number", type=int)
    with pytest.raises(SystemExit):
        parser.parse_args(["command", "--number", "\x1b[2J"])
    assert "\x1b" not in capsys.readouterr().err
