"""Names of subjects: which characters a name may have, and when two names look the same. Pure.

A name has 1..64 bytes of UTF-8 in Unicode form NFC. It begins with a character that is not a combining mark, has at
least one letter, digit or symbol, and has no white space at its ends.

Refused by category: control, format, surrogate, private-use and unassigned characters (Cc, Cf, Cs, Co, Cn), line and
paragraph separators (Zl, Zp), and other characters that show nothing, such as the Hangul fillers. Three kinds of
invisible characters are part of correct spelling and are allowed at their places only: a zero-width joiner or non-joiner
after an Indic virama, a non-joiner between letters of a right-to-left script, and a joiner between emoji; a variation
selector after a symbol, a digit or a letter without case.

Two names look the same if they are equal after these steps: compatibility normalization (NFKC), removal of invisible
characters, one space for each run of white space, replacement of Cyrillic and Greek letters by the Latin letters
that look like them, and case folding; or if they differ only in case before these steps. A new name that looks like an enrolled one is
refused. The enrolled names of older galleries are not checked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from edge_sdk.errors import InputError, SubjectExistsError
from edge_sdk.gallery.format.content import MAX_NAME_BYTES
from edge_sdk.gallery.format.text import FORBIDDEN_TEXT

_NON_JOINER, _JOINER, _KEYCAP = "\u200c", "\u200d", "\u20e3"
# Categories of Unicode (UAX 44) whose characters are invisible or have no fixed meaning.
_REFUSED_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Characters of other categories that show nothing: default ignorable code points (UAX 44) and the empty Braille cell.
_INVISIBLE = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    "\U0001d159\U0001d173\U0001d174\U0001d175\U0001d176\U0001d177\U0001d178\U0001d179\U0001d17a"
)
_VIRAMA_CLASS = 9  # canonical combining class of the signs that suppress a vowel
# Cyrillic, then Greek letters, and the Latin letters that look like them in most fonts (confusables of UTS 39).
_LOOKALIKES = str.maketrans(
    "АВЕКМНОРСТУХЅІЈԌԚԜавеѕіјорсухһԁԛԝ" + "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανρυϲϳ",
    "ABEKMHOPCTYXSIJGQWabesijopcyxhdqw" + "ABEZHIKMNOPTYXoavpucj",
)


def normalized(name: str) -> str:
    """Return a name in Unicode form NFC, the form in which names are stored.

    Raises:
        InputError: the name is not a string.
    """
    if not isinstance(name, str):
        raise InputError(f"expected a subject's name as str, found {type(name).__name__}")
    return unicodedata.normalize("NFC", name)


def checked_text(text: str, what: str, *, min_bytes: int) -> str:
    """Return a name or label in Unicode form NFC.

    Raises:
        InputError: not `min_bytes`..64 bytes of UTF-8, or with control characters.
    """
    if not isinstance(text, str):
        raise InputError(f"expected {what} as str, found {type(text).__name__}")
    normal = unicodedata.normalize("NFC", text)
    try:
        length = len(normal.encode())
    except UnicodeEncodeError as error:
        raise InputError(f"{what} cannot be written as UTF-8") from error
    if not min_bytes <= length <= MAX_NAME_BYTES:
        raise InputError(f"{what} has {length} bytes, expected {min_bytes}..{MAX_NAME_BYTES}")
    if FORBIDDEN_TEXT.search(normal):
        raise InputError(f"{what} contains a control character")
    return normal


def checked_name(name: str) -> str:
    """Return the name of a new subject in Unicode form NFC.

    Raises:
        InputError: the name breaks a rule of this module.
    """
    normal = checked_text(name, "a subject's name", min_bytes=1)
    for index, character in enumerate(normal):
        if _is_refused(normal, index):
            raise InputError(
                f"expected a subject's name of visible characters, found U+{ord(character):04X} in {normal!a}",
                hint="remove the invisible character",
            )
    if normal != normal.strip():
        raise InputError(f"expected a subject's name without white space at its ends, found {normal!a}")
    if unicodedata.category(normal[0])[0] == "M":
        raise InputError(
            f"expected a subject's name that begins with a letter, digit or symbol, found {normal!a}"
        )
    return normal


def skeleton(name: str) -> str:
    """Return a name reduced to how it looks, without case; names with equal results look the same (cf. UTS 39)."""
    if not name.isascii():
        visible = "".join(c for c in name if not _is_invisible(c))
        # Case folding may give a letter that is replaced in turn, so both are done twice.
        name = _latin(_latin(visible).casefold()).casefold()
    return " ".join(name.casefold().split())


def _latin(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).translate(_LOOKALIKES))


def _skeletons(name: str) -> set[str]:
    """Return the skeletons of a name as it is and in lower case.

    They differ for letters such as the Greek nu, which looks like N as a capital and like v otherwise.
    """
    return {skeleton(name)} if name.isascii() else {skeleton(name), skeleton(name.casefold())}


class Names:
    """Names by their skeletons, to find the name that a new one would be mistaken for.

    Args:
        names: The enrolled names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._by_skeleton: dict[str, set[str]] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Add a name."""
        for form in _skeletons(name):
            self._by_skeleton.setdefault(form, set()).add(name)

    def remove(self, name: str) -> None:
        """Remove a name; do nothing if it is not there."""
        for form in _skeletons(name):
            self._by_skeleton.get(form, set()).discard(name)

    def similar_to(self, name: str) -> str | None:
        """Return a name that looks like the given one or differs only in case; None if there is none."""
        similar = (self._by_skeleton.get(form, set()) for form in _skeletons(name))
        return min(set().union(*similar), default=None)


def require_distinct(name: str, names: Names) -> None:
    """Refuse a name that looks like an enrolled one.

    Raises:
        SubjectExistsError: it does; the message states both names.
    """
    other = names.similar_to(name)
    if other is not None:
        raise SubjectExistsError(
            f"the name {name!r} looks like {other!r}, which is enrolled: in ASCII {name!a} and {other!a}",
            hint="choose a name that people can tell from it",
        )


def _is_refused(name: str, index: int) -> bool:
    """Tell if the character at an index may not be in a name at this place."""
    character = name[index]
    before, after = name[index - 1 : index], name[index + 1 : index + 2]
    if character in (_NON_JOINER, _JOINER):
        return not _may_join(character, before, after)
    if _is_variation_selector(character):
        return not (after == _KEYCAP or (before and unicodedata.category(before) in ("So", "Lo", "Nd", "Sm")))
    return character in _INVISIBLE or unicodedata.category(character) in _REFUSED_CATEGORIES


def _may_join(joiner: str, before: str, after: str) -> bool:
    if not before or not after:
        return False
    if unicodedata.combining(before) == _VIRAMA_CLASS:
        return True
    if joiner == _NON_JOINER:
        return unicodedata.bidirectional(before) == unicodedata.bidirectional(after) == "AL"
    is_emoji = unicodedata.category(before) in ("So", "Sk") or _is_variation_selector(before)
    return is_emoji and unicodedata.category(after) == "So"


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_invisible(character: str) -> bool:
    return (
        character in _INVISIBLE
        or _is_variation_selector(character)
        or unicodedata.category(character) in _REFUSED_CATEGORIES
    )
