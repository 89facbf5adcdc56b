"""Text inside a gallery: which characters it may have. Pure."""

from __future__ import annotations

import re

from edge_sdk.errors import GalleryFormatError

# Control characters, line and paragraph separators, and marks that reorder text on a terminal.
FORBIDDEN_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def parse_text(data: bytes, what: str) -> str:
    """Decode a text.

    Raises:
        GalleryFormatError: the bytes are not UTF-8, or the text contains a control character.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise GalleryFormatError(f"{what} is not UTF-8") from error
    if FORBIDDEN_TEXT.search(text):
        raise GalleryFormatError(f"{what} contains a control character")
    return text
