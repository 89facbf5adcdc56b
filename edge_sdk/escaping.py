"""Text from files, made safe for a terminal.

File names, model cards and archives can contain characters that a terminal executes or hides.
"""

from __future__ import annotations

import re

# Control characters except tab and line feed, invisible characters, and marks that reorder text on a terminal.
# Joiners (U+200C, U+200D) stay: some scripts need them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
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
    # JSON escapes characters beyond U+FFFF as two UTF-16 units.
    units = character[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
