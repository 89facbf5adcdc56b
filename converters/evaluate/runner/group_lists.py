"""Read the CSV file that assigns subjects or images to groups.

The first line is `subject,COVARIATE,...` or `image,COVARIATE,...`. Each further line has a subject (the name of its
folder), or an image (`subject/file`), and one value per covariate.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from converters.evaluate.metrics.cosines import MAX_IMAGES
from converters.evaluate.metrics.covariates import MAX_COVARIATES, Covariates
from converters.evaluate.metrics.cross_camera import Cameras
from edge_sdk.errors import InputError

MAX_BYTES = 64 * 2**20
MAX_LENGTH = 60
_HEADER = "a header line subject,COVARIATE,... or image,COVARIATE,..."


def read_groups(path: str | Path) -> Covariates:
    """Read a CSV file of covariates (UTF-8, comma-separated).

    Raises:
        InputError: The file cannot be read or is not UTF-8; the header is missing; a covariate has no name or occurs
            twice; a row has another number of values, an empty value, a value longer than 60 characters or a
            control character; a subject or an image occurs twice. The message names the file and the line.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"expected a file of at most {MAX_BYTES} bytes, found more in {file}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected UTF-8 text in {file}, found byte {error.start} of another encoding"
        ) from error
    try:
        return _parse(file.name, hashlib.sha256(content).hexdigest(), text)
    except csv.Error as error:
        raise InputError(
            f"expected comma-separated values in {file}, found text that is not: {error}"
        ) from error


def read_cameras(source: str, names: Sequence[str]) -> Cameras:
    """Read the camera of each image: from its file name if the source is ``names``, otherwise from a CSV file.

    Raises:
        InputError: A file name has no camera, or the file cannot be read or has no columns image and camera.
    """
    return Cameras.of_names(names) if source == "names" else Cameras.of_covariates(read_groups(source))


def _parse(name: str, digest: str, text: str) -> Covariates:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = [field.strip() for field in next(reader, [])]
    if header[:1] not in (["subject"], ["image"]):
        first = ",".join(header)[:60]
        if first.partition(";")[0].strip() in ("subject", "image"):
            raise InputError(
                f"{name}, line 1: expected {_HEADER}, found semicolons in {first!r}",
                hint="separate the values with commas, not with semicolons",
            )
        raise _bad_line(name, 1, _HEADER, repr(first) if first else "an empty line")
    covariates = tuple(header[1:])
    if not 1 <= len(covariates) <= MAX_COVARIATES:
        raise _bad_line(name, 1, f"1..{MAX_COVARIATES} covariates", str(len(covariates)))
    if len(set(covariates)) != len(covariates):
        raise _bad_line(name, 1, "each covariate once", ", ".join(covariates))
    for covariate in covariates:
        _check_value(name, 1, covariate, "the name of a covariate")
    rows: dict[str, tuple[str, ...]] = {}
    for fields in reader:
        if not fields:
            continue
        line = reader.line_num
        key, *values = (field.strip() for field in fields)
        if len(values) != len(covariates):
            raise _bad_line(name, line, f"{len(covariates) + 1} values", str(len(fields)))
        if not key or (header[0] == "image" and not all(key.partition("/"))):
            expected = "subject/file" if header[0] == "image" else "a subject"
            raise _bad_line(name, line, expected, repr(key[:60]))
        if key in rows:
            raise _bad_line(name, line, f"each {header[0]} once", f"{key[:60]} again")
        for covariate, value in zip(covariates, values, strict=True):
            _check_value(name, line, value, f"a value of {covariate}")
        rows[key] = tuple(values)
        if len(rows) > MAX_IMAGES:
            raise _bad_line(name, line, f"at most {MAX_IMAGES} rows", "more")
    return Covariates(name, digest, header[0] == "image", covariates, rows)


def _check_value(name: str, line: int, value: str, expected: str) -> None:
    if not value:
        raise _bad_line(name, line, expected, "an empty value")
    if len(value) > MAX_LENGTH or not value.isprintable():
        raise _bad_line(
            name, line, f"{expected} of at most {MAX_LENGTH} printable characters", repr(value[:MAX_LENGTH])
        )


def _bad_line(name: str, line: int, expected: str, actual: str) -> InputError:
    return InputError(
        f"{name}, line {line}: expected {expected}, found {actual}",
        hint="see docs/how-to/measure-groups.md for the form of the file",
    )
