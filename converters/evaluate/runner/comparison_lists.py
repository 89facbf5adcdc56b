"""Read the text files that select comparisons: pairs files in the LFW format, and open-set lists for 1:N.

The first line of a pairs file is the number of pairs of each kind, such as `500`; or the number of folds and the
number of pairs of each kind per fold, such as `10<TAB>300`. Each fold has mated lines `subject<TAB>i<TAB>j`, then
non-mated lines `subject<TAB>i<TAB>other<TAB>j` (Huang et al., Labeled Faces in the Wild, 2007). Image i of a subject
is `subject/subject_000i` with any suffix.

An open-set list has lines `enrol<TAB>subject/image` and `probe<TAB>subject/image`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from converters.evaluate.metrics.protocols import ListedPair, OpenSetList, PairsList
from edge_sdk.errors import InputError

MAX_LIST_BYTES = 256 * 2**20
MAX_PAIRS = 5_000_000


def read_pairs(path: str | Path) -> PairsList:
    """Read a pairs file.

    Raises:
        InputError: The file cannot be read or has another form; the message names the file and the line.
    """
    file = Path(path)
    lines, digest = _read_lines(file)
    if not lines:
        raise _bad_line(file, 1, "the number of pairs", "an empty file")
    header = lines[0].split("\t")
    if len(header) not in (1, 2) or not all(_is_count(field) for field in header):
        raise _bad_line(
            file, 1, "the number of pairs, or of folds and pairs, separated by a tab", repr(lines[0][:60])
        )
    folds = int(header[0]) if len(header) == 2 else 1
    each = int(header[-1])
    expected = folds * each * 2
    if expected > MAX_PAIRS:
        raise _bad_line(file, 1, f"up to {MAX_PAIRS} pairs", str(expected))
    if len(lines) - 1 != expected:
        raise _bad_line(
            file,
            len(lines),
            f"{expected} pairs after the first line, the number that it states",
            f"{len(lines) - 1}",
        )
    pairs = tuple(
        _parse_pair(
            file, number, line, mated=(number - 2) % (2 * each) < each, fold=(number - 2) // (2 * each)
        )
        for number, line in enumerate(lines[1:], start=2)
    )
    return PairsList(file.name, digest, pairs)


def read_open_set(path: str | Path) -> OpenSetList:
    """Read an open-set list.

    Raises:
        InputError: The file cannot be read; a line is not `enrol` or `probe`, a tab and `subject/image`; a sample
            occurs twice; nothing is enrolled or nothing is searched. The message names the file and the line.
    """
    file = Path(path)
    lines, _ = _read_lines(file)
    roles: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        role, _, name = line.partition("\t")
        if role not in ("enrol", "probe") or len(name.split("/")) != 2 or not all(name.split("/")):
            raise _bad_line(file, number, "enrol or probe, a tab, subject/image", repr(line[:60]))
        if name in roles:
            raise _bad_line(file, number, "each sample once", f"{name} again")
        roles[name] = role
    enrolled = tuple(name for name, role in roles.items() if role == "enrol")
    probes = tuple(name for name, role in roles.items() if role == "probe")
    if not enrolled or not probes:
        raise _bad_line(
            file, len(lines), "samples to enrol and samples to probe", f"{len(enrolled)} and {len(probes)}"
        )
    return OpenSetList(enrolled, probes)


def _parse_pair(file: Path, number: int, line: str, *, mated: bool, fold: int) -> ListedPair:
    fields = line.split("\t")
    if mated:
        form = "a mated pair: subject, i, j, separated by tabs, i and j from 1 and not equal"
        if len(fields) != 3 or not fields[0] or not (_is_count(fields[1]) and _is_count(fields[2])):
            raise _bad_line(file, number, form, repr(line[:80]))
        pair = ListedPair((fields[0], int(fields[1])), (fields[0], int(fields[2])), fold)
        if pair.first == pair.second:
            raise _bad_line(file, number, form, f"image {pair.first[1]} of {fields[0]} with itself")
        return pair
    form = "a non-mated pair: subject, i, another subject, j, separated by tabs, i and j from 1"
    if (
        len(fields) != 4
        or not (fields[0] and fields[2])
        or not (_is_count(fields[1]) and _is_count(fields[3]))
    ):
        raise _bad_line(file, number, form, repr(line[:80]))
    if fields[0] == fields[2]:
        raise _bad_line(file, number, form, f"{fields[0]} twice")
    return ListedPair((fields[0], int(fields[1])), (fields[2], int(fields[3])), fold)


def _is_count(field: str) -> bool:
    return field.isascii() and field.isdigit() and 0 < len(field) <= 9 and int(field) > 0


def _read_lines(file: Path) -> tuple[list[str], str]:
    """Read a UTF-8 file: its lines without trailing empty ones, and the SHA-256 of its bytes in hex."""
    try:
        if file.stat().st_size > MAX_LIST_BYTES:
            raise InputError(
                f"expected a list of at most {MAX_LIST_BYTES} bytes, found more in {file.name}",
                hint="split it",
            )
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8 text in {file.name}, found {error}", hint="check the file"
        ) from error
    except OSError as error:
        raise InputError(f"{file.name}: cannot be read: {error.strerror}", hint="check the path") from error
    lines = [line.rstrip("\r") for line in text.split("\n")]
    while lines and not lines[-1].strip():
        lines.pop()
    return lines, hashlib.sha256(content).hexdigest()


def _bad_line(file: Path, number: int, expected: str, actual: str) -> InputError:
    return InputError(
        f"{file.name}, line {number}: expected {expected}, found {actual}",
        hint="correct this line; in a pairs file, the first line may be wrong instead",
    )
