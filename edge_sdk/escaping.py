"""Text from files, made safe for a terminal.

File names, model cards and archives can contain characters that a terminal executes or hides.
"""

from __future__ import annotations

import re

# Control characters except tab and line feed, invisible characters, and marks that reorder text on a terminal.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_UNSAFE_IN_A_LINE = re.compile(f"[\t\n]|{_UNSAFE.pattern}")


def escaped(text: str) -> str:
    """Replace characters that a terminal executes or hides by JSON escapes; keep tabs and line feeds.

    File names, model cards and archives can contain such characters. JSON stays valid and keeps its meaning.
    """
    return _UNSAFE.sub(_escape, text)


def escaped_line(text: object) -> str:
    """Return a value as text on one line; characters that a terminal executes or hides are escaped."""
    return _UNSAFE_IN_A_LINE.sub(_escape, str(text))


def _escape(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"
