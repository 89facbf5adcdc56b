"""Strength of a passphrase: its length, and how much of it follows from common words and patterns; pure.

NIST SP 800-63B requires 8 characters of a password that is used with another factor and 15 of one that is used alone,
asks for a comparison with common passwords and with names of the service, and asks for no rules about kinds of
characters. A gallery's passphrase is used alone, and a thief can try guesses on a copy of the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MIN_CHARACTERS = 8
STRONG_CHARACTERS = 15

# Levels of protection, as in the docstring of `edge_sdk.gallery.keys`.
_STRONG_LEVEL, _WEAK_LEVEL, _TRIVIAL_LEVEL = 2, 1, 0
# A common word, a name, a run or a year is counted as this many characters: a guesser tries a few hundred of each.
_PATTERN_CHARACTERS = 2
_MIN_RUN, _MIN_KEYS, _MIN_NAME = 3, 4, 3
# Characters that are searched for patterns; more are never needed for the highest level, and the search is quadratic.
_MAX_SEARCHED = 128

_COMMON_WORDS = [
    "password",
    "passwort",
    "passwd",
    "passphrase",
    "parola",
    "contrasena",
    "motdepasse",
    "geheim",
    "secret",
    "letmein",
    "welcome",
    "willkommen",
    "hello",
    "hallo",
    "admin",
    "administrator",
    "root",
    "user",
    "guest",
    "test",
    "tester",
    "demo",
    "default",
    "changeme",
    "change",
    "login",
    "logon",
    "access",
    "master",
    "system",
    "server",
    "computer",
    "internet",
    "android",
    "windows",
    "linux",
    "ubuntu",
    "debian",
    "python",
    "raspberrypi",
    "raspberry",
    "arduino",
    "camera",
    "gallery",
    "biometric",
    "edgesdk",
    "facelock",
    "doorlock",
    "door",
    "lock",
    "unlock",
    "frontdoor",
    "opendoor",
    "open",
    "sesame",
    "house",
    "home",
    "garage",
    "office",
    "keys",
    "alarm",
    "security",
    "iloveyou",
    "ilovey",
    "love",
    "lovely",
    "darling",
    "sweetheart",
    "baby",
    "angel",
    "princess",
    "queen",
    "prince",
    "king",
    "lord",
    "jesus",
    "christ",
    "heaven",
    "sunshine",
    "moon",
    "star",
    "rainbow",
    "flower",
    "summer",
    "winter",
    "spring",
    "autumn",
    "monday",
    "friday",
    "january",
    "december",
    "monkey",
    "dragon",
    "tiger",
    "lion",
    "panther",
    "eagle",
    "falcon",
    "dolphin",
    "shark",
    "horse1",
    "kitty",
    "puppy",
    "snoopy",
    "mickey",
    "garfield",
    "pokemon",
    "pikachu",
    "football",
    "fussball",
    "baseball",
    "basketball",
    "hockey",
    "soccer",
    "tennis",
    "golfer",
    "liverpool",
    "arsenal",
    "chelsea",
    "barcelona",
    "ronaldo",
    "messi",
    "superman",
    "batman",
    "spiderman",
    "ironman",
    "starwars",
    "matrix",
    "hunter",
    "ranger",
    "killer",
    "soldier",
    "ninja",
    "samurai",
    "warrior",
    "shadow",
    "michael",
    "jennifer",
    "thomas",
    "jessica",
    "daniel",
    "ashley",
    "charlie",
    "andrew",
    "michelle",
    "jordan",
    "robert",
    "matthew",
    "nicole",
    "maria",
    "andrea",
    "mustang",
    "ferrari",
    "porsche",
    "mercedes",
    "harley",
    "yamaha",
    "cookie",
    "chocolate",
    "banana",
    "cheese",
    "pepper",
    "coffee",
    "whatever",
    "nothing",
    "trustno",
    "freedom",
    "qwerty",
    "qwertz",
    "azerty",
    "asdf",
    "zxcv",
    "secure",
    "private",
    "money",
    "dollar",
    "google",
    "facebook",
    "apple",
    "samsung",
]
_KEYBOARD_ROWS = (
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "qsdfghjklm",
    "zxcvbnm",
    "yxcvbnm",
    "wxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "1q2w3e4r5t6z7u8i9o0p",
    "qazwsxedcrfvtgbyhnujm",
    "zaqxswcdevfrbgtnhymju",
)
_SUBSTITUTES = str.maketrans("013457@$!|", "oieastasii")
_SEPARATORS = re.compile(r"[\s\-_.,;:+/]+")
_YEAR = re.compile(r"(?:19|20)[0-9]{2}")


@dataclass(frozen=True)
class Strength:
    """The strength of a passphrase.

    Attributes:
        level: 2; 1 if it is short; 0 if it would be refused for a new key.
        weakness: Reason for a level below 2, otherwise None. It contains no part of the passphrase.
    """

    level: int
    weakness: str | None = None

    @property
    def refused(self) -> bool:
        """True if a new key must not use the passphrase."""
        return self.level == _TRIVIAL_LEVEL


def strength_of(text: str, names: Sequence[str] = ()) -> Strength:
    """Return the strength of a passphrase.

    Args:
        text: The passphrase in Unicode form NFC.
        names: Names that a guesser tries first, such as those of the gallery and of the device.
    """
    length = len(text)
    if length < MIN_CHARACTERS:
        return Strength(
            _TRIVIAL_LEVEL, f"expected a passphrase of {MIN_CHARACTERS} characters or more, found {length}"
        )
    unpredictable = min(length, unpredictable_characters(text, names))
    if unpredictable < MIN_CHARACTERS:
        return Strength(
            _TRIVIAL_LEVEL,
            f"the passphrase consists of common words, names or patterns that count as {unpredictable} characters,"
            f" expected {MIN_CHARACTERS} or more",
        )
    if unpredictable < STRONG_CHARACTERS:
        return Strength(
            _WEAK_LEVEL,
            f"the passphrase has {length} characters that count as {unpredictable}, {STRONG_CHARACTERS} or more are recommended",
        )
    return Strength(_STRONG_LEVEL)


def unpredictable_characters(text: str, names: Iterable[str] = ()) -> int:
    """Count the characters of a passphrase that do not follow from a pattern.

    Repeated blocks do not count. A common word, a name, a year, and a run of equal, consecutive or neighbouring keys
    count as 2 characters each. A separator counts between two words of 2 characters or more.

    Args:
        text: The passphrase.
        names: Names that count like common words, if they have 3 letters or digits or more.

    Returns:
        The count in the first 128 characters.
    """
    words = [word for word in _SEPARATORS.split(text[:_MAX_SEARCHED]) if word]
    separators = sum(min(len(a), len(b)) > 1 for a, b in itertools.pairwise(words))
    plain = _fold("".join(words))
    counted = [True] * len(plain)
    for start, end in _patterns(plain, names):
        counted[start + _PATTERN_CHARACTERS : end] = [False] * max(0, end - start - _PATTERN_CHARACTERS)
    for start, end in _repetitions(plain):
        counted[start:end] = [False] * (end - start)
    return sum(counted) + separators


def _fold(text: str) -> str:
    """Return the text in lower case, with as many characters as before."""
    return "".join(character.lower()[0] for character in text)


def _patterns(text: str, names: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Yield start and end of every word, name, year and run."""
    folded = (_fold(_SEPARATORS.sub("", name)) for name in names)
    spelled = text.translate(_SUBSTITUTES)
    for word in {*_COMMON_WORDS, *(name for name in folded if len(name) >= _MIN_NAME)}:
        for form in {word, word[::-1]}:
            for haystack in (text, spelled):
                yield from ((match.start(), match.end()) for match in re.finditer(re.escape(form), haystack))
    yield from ((match.start(), match.end()) for match in _YEAR.finditer(text))
    yield from _runs(text)
    for row in _KEYBOARD_ROWS:
        for keys in (row, row[::-1]):
            yield from _common_parts(text, keys)


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of runs of equal characters, and of characters with consecutive code points."""
    codes = [ord(character) for character in text]
    for step in (-1, 0, 1):
        start = 0
        for end in range(1, len(codes) + 1):
            if end == len(codes) or codes[end] - codes[end - 1] != step:
                if end - start >= _MIN_RUN:
                    yield start, end
                start = end


def _common_parts(text: str, row: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of the longest parts of the text that are parts of a row of keys."""
    start = 0
    while start < len(text):
        end = start
        while end < len(text) and text[start : end + 1] in row:
            end += 1
        if end - start >= _MIN_KEYS:
            yield start, end
        start = max(end, start + 1)


def _repetitions(text: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of every block that repeats the characters directly before it."""
    for period in range(1, len(text) // 2 + 1):
        start = period
        for end in range(period, len(text) + 1):
            if end == len(text) or text[end] != text[end - period]:
                if end - start >= max(period, _MIN_RUN):
                    yield start, end
                start = end + 1
