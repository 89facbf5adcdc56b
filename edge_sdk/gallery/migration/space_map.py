"""A linear map from the embeddings of one network to those of another, with its measured loss, in a file.

`edge-convert map` fits and measures it. A gallery uses it only if the measured loss is small (`require_usable`). Nothing
proves who made a map: like a model file, it decides who is accepted.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.store.files import checked_path
from edge_sdk.types import Float64Array, FloatArray

MAGIC = bytes.fromhex("8946474d0d0a1a0a")
VERSION = 1
SCHEMA = "edge-sdk/space-map/1"
#: FMR at which the loss of a map is measured.
MAP_FMR = 1e-3
#: Largest loss with which a map is used: points of FNMR at the FMR of the measurement, as a share.
MOST_LOSS = 0.01
#: Largest FMR at the new network's own threshold, as a multiple of the FMR that the threshold stands for.
MOST_FMR_RATIO = 1.5
MAX_DIMENSION = 4096
_MAX_JSON_BYTES = 64 << 10
_HEAD = struct.Struct("<8sHHIHH")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class MapEvidence:
    """Error rates of mapped templates against probes of the new network, on images that took no part in the fit.

    Attributes:
        fmr: FMR of the comparison, such as 1e-3.
        native_fnmr: FNMR of the new network alone, templates and probes, at this FMR.
        mapped_fnmr: FNMR of mapped templates against probes of the new network, at a threshold with this FMR.
        loss_interval: 95 % interval of the difference of both by a bootstrap over subjects.
        native_threshold: Threshold of the new network at this FMR.
        fmr_at_native_threshold: FMR of mapped templates at that threshold.
        fnmr_at_native_threshold: FNMR of mapped templates at that threshold.
        mated: Number of mated comparisons.
        non_mated: Number of non-mated comparisons.
        subjects: Number of subjects.
        data_set: Name of the labelled images.
        data_digest: Their digest.
    """

    fmr: float
    native_fnmr: float
    mapped_fnmr: float
    loss_interval: tuple[float, float]
    native_threshold: float
    fmr_at_native_threshold: float
    fnmr_at_native_threshold: float
    mated: int
    non_mated: int
    subjects: int
    data_set: str
    data_digest: str

    @property
    def loss(self) -> float:
        """FNMR that the map costs at the same FMR, as a share."""
        return self.mapped_fnmr - self.native_fnmr

    def words(self) -> str:
        """Describe the measurement in one sentence."""
        low, high = self.loss_interval
        return (
            f"FNMR at FMR {self.fmr:g}: {100 * self.mapped_fnmr:.2f} % with mapped templates, {100 * self.native_fnmr:.2f} %"
            f" with the new network's own; loss {100 * self.loss:.2f} points ({100 * low:.2f} .. {100 * high:.2f}), from"
            f" {self.subjects} people of {self.data_set}; at the new network's threshold {self.native_threshold:.4f} mapped"
            f" templates have FMR {self.fmr_at_native_threshold:.1e} and FNMR {100 * self.fnmr_at_native_threshold:.2f} %"
        )

    def problem(self) -> str | None:
        """Return why a map with this evidence is not used; None if it is."""
        if self.fmr != MAP_FMR:
            return f"the map is measured at FMR {self.fmr:g}, expected FMR {MAP_FMR:g}"
        if self.non_mated * self.fmr < 3:
            return f"the map is measured with {self.non_mated} non-mated comparisons, expected {3 / self.fmr:.0f} or more"
        if self.loss > MOST_LOSS:
            return f"the map loses {100 * self.loss:.2f} points of FNMR at FMR {self.fmr:g}, at most {100 * MOST_LOSS:g} is allowed"
        ratio = self.fmr_at_native_threshold / self.fmr
        if ratio > MOST_FMR_RATIO:
            return f"mapped templates have {ratio:.1f} times the FMR of the new network at its threshold, at most {MOST_FMR_RATIO:g} times is allowed"
        if self.fnmr_at_native_threshold - self.native_fnmr > MOST_LOSS:
            lost = 100 * (self.fnmr_at_native_threshold - self.native_fnmr)
            return f"at the new network's threshold mapped templates lose {lost:.2f} points of FNMR, at most {100 * MOST_LOSS:g} is allowed"
        return None


@dataclass(frozen=True, eq=False)
class SpaceMap:
    """An affine map `matrix @ embedding + shift` between unit embeddings of two networks; the result is normalized.

    Attributes:
        source_space: Id of the embedding space of the old network, 32 bytes.
        source_file: SHA-256 of its file.
        target_space: Id of the embedding space of the new network, 32 bytes.
        matrix: Shape (D new, D old), float32.
        shift: Shape (D new,), float32.
        method: How the map was fitted, one line.
        evidence: Its measured error rates.
    """

    source_space: bytes
    source_file: bytes
    target_space: bytes
    matrix: FloatArray = field(repr=False)
    shift: FloatArray = field(repr=False)
    method: str
    evidence: MapEvidence

    def apply(self, rows: Float64Array) -> Float64Array:
        """Map unit embeddings.

        Args:
            rows: Shape (n, D old).

        Returns:
            Shape (n, D new), L2 norm 1.

        Raises:
            InputError: the dimension differs, or a result is zero or not finite.
        """
        if rows.ndim != 2 or rows.shape[1] != self.matrix.shape[1]:
            raise InputError(
                f"expected embeddings of dimension {self.matrix.shape[1]} for the map, found {rows.shape}"
            )
        mapped = rows @ self.matrix.T.astype(np.float64) + self.shift
        lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
        if not np.isfinite(mapped).all() or (lengths == 0).any():
            raise InputError("expected a map to finite embeddings other than zero, found another result")
        return np.asarray(mapped / lengths)

    def require_usable(self) -> None:
        """Refuse a map that costs too much accuracy.

        Raises:
            InputError: the measured loss is above the limit; the message contains the figures.
        """
        problem = self.evidence.problem()
        if problem is not None:
            raise InputError(
                f"{problem}; {self.evidence.words()}",
                hint="use stored captures (--captures-key), or enrol again",
            )


def pack_map(space_map: SpaceMap) -> bytes:
    """Convert a map to the bytes of its file."""
    new, old = space_map.matrix.shape
    text = json.dumps(
        {
            "schema": SCHEMA,
            "source_space": space_map.source_space.hex(),
            "source_file": space_map.source_file.hex(),
            "target_space": space_map.target_space.hex(),
            "method": space_map.method,
            "evidence": asdict(space_map.evidence),
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    numbers = np.concatenate([space_map.matrix.ravel(), space_map.shift]).astype("<f4").tobytes()
    data = _HEAD.pack(MAGIC, VERSION, 0, len(text), old, new) + text + numbers
    return data + hashlib.sha256(data).digest()


def parse_map(data: bytes) -> SpaceMap:
    """Parse the bytes of a map's file; sizes are checked before the matrix is read.

    Raises:
        GalleryFormatError: the bytes are malformed or incomplete.
    """
    if len(data) < _HEAD.size + _DIGEST_BYTES or data[: len(MAGIC)] != MAGIC:
        raise GalleryFormatError(
            "expected a map between embedding spaces, found another file", hint="edge-convert map writes one"
        )
    _, version, reserved, text_bytes, old, new = _HEAD.unpack(data[: _HEAD.size])
    if version != VERSION or reserved:
        raise GalleryFormatError(
            f"expected a map of version {VERSION}, found version {version}", hint="use a newer edge-sdk"
        )
    matrix_at = _HEAD.size + text_bytes
    expected = matrix_at + 4 * new * (old + 1) + _DIGEST_BYTES
    bounded = text_bytes <= _MAX_JSON_BYTES and 0 < old <= MAX_DIMENSION and 0 < new <= MAX_DIMENSION
    if not bounded or len(data) != expected:
        raise GalleryFormatError(f"expected a map of {expected} bytes by its counts, found {len(data)}")
    if hashlib.sha256(data[:-_DIGEST_BYTES]).digest() != data[-_DIGEST_BYTES:]:
        raise GalleryFormatError("the map is damaged: its digest does not fit", hint="copy it again")
    numbers = np.frombuffer(data, "<f4", count=new * (old + 1), offset=matrix_at)
    if not np.isfinite(numbers).all():
        raise GalleryFormatError("expected finite numbers in the map, found another number")
    try:
        fields = json.loads(data[_HEAD.size : matrix_at])
        return _from_json(fields, numbers[: new * old].reshape(new, old), numbers[new * old :])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GalleryFormatError(f"the text of the map is malformed: {error}") from error


def read_map(path: str | os.PathLike[str]) -> SpaceMap:
    """Read a map.

    Raises:
        InputError: the file cannot be read.
        GalleryFormatError: see `parse_map`.
    """
    most = _HEAD.size + _MAX_JSON_BYTES + 4 * MAX_DIMENSION * (MAX_DIMENSION + 1) + _DIGEST_BYTES
    try:
        with checked_path(path).open("rb") as file:
            return parse_map(file.read(most + 1))
    except OSError as error:
        raise InputError(f"cannot read the map {path}: {error.strerror or error}") from error


def _from_json(fields: dict[str, Any], matrix: FloatArray, shift: FloatArray) -> SpaceMap:
    if fields["schema"] != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, found {fields['schema']!r:.80}")
    source_space, source_file, target_space = (
        bytes.fromhex(fields[name]) for name in ("source_space", "source_file", "target_space")
    )
    if any(len(digest) != _DIGEST_BYTES for digest in (source_space, source_file, target_space)):
        raise ValueError("expected digests of 32 bytes")
    evidence = dict(fields["evidence"])
    low, high = (float(end) for end in evidence.pop("loss_interval"))
    rates = MapEvidence(loss_interval=(low, high), **evidence)
    numbers = (
        rates.fmr,
        rates.native_fnmr,
        rates.mapped_fnmr,
        rates.fmr_at_native_threshold,
        rates.fnmr_at_native_threshold,
    )
    if not all(isinstance(number, float) and 0 <= number <= 1 for number in numbers) or not rates.fmr > 0:
        raise ValueError("expected error rates in 0..1")
    if not isinstance(rates.native_threshold, float):
        raise ValueError("expected a number as threshold")
    counts = rates.mated, rates.non_mated, rates.subjects
    if not all(type(count) is int and 0 <= count < 1 << 53 for count in counts):
        raise ValueError("expected numbers of comparisons and subjects")
    if not all(isinstance(text, str) for text in (rates.data_set, rates.data_digest, fields["method"])):
        raise ValueError("expected texts as data set and method")
    return SpaceMap(source_space, source_file, target_space, matrix, shift, fields["method"], rates)
