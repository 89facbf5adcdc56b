"""The networks before the embedder, detector and liveness networks, that a gallery requires; and their bytes. Pure.

A gallery seals the SHA-256 of their files. A replaced liveness network could accept every picture, and a replaced
detector could place every face on the same landmarks, so a recognizer is opened with the pinned files only.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_sdk.errors import GalleryFormatError, InputError, ModelMismatchError
from edge_sdk.gallery.rules.real_numbers import is_real, shown

MAX_LIVENESS = 16

_HEAD = struct.Struct("<dII")
_DIGEST_BYTES = 32
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HINT = "use the files that the gallery was given; an administrator gives it others with edge-sdk gallery pin-networks"


@dataclass(frozen=True)
class PinnedNetworks:
    """SHA-256 digests of the files that a recognizer must use.

    Args:
        detector: Digest of the face detector's file, 64 hexadecimal digits; None if it is not pinned.
        liveness: Digests of the files of the liveness networks, up to 16, in any order; empty if they are not pinned.
        liveness_threshold: Lowest threshold of the liveness networks, above 0 and up to 1; 0 if they are not pinned.

    Raises:
        InputError: a digest or the threshold is malformed, or nothing is pinned.
    """

    detector: str | None = None
    liveness: tuple[str, ...] = ()
    liveness_threshold: float = 0.0

    def __post_init__(self) -> None:
        digests = tuple(sorted(self.liveness))
        object.__setattr__(self, "liveness", digests)
        for digest in ([] if self.detector is None else [self.detector]) + list(digests):
            if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
                raise InputError(
                    f"expected a SHA-256 of 64 hexadecimal digits in lower case, found {digest!r}"
                )
        if self.detector is None and not digests:
            raise InputError("expected a detector or liveness networks to pin, found neither")
        if len(digests) > MAX_LIVENESS:
            raise InputError(f"expected at most {MAX_LIVENESS} liveness networks, found {len(digests)}")
        threshold = self.liveness_threshold
        in_range = is_real(threshold) and (0 < threshold <= 1 if digests else threshold == 0)
        if not in_range:
            raise InputError(
                "expected a liveness threshold above 0 and up to 1, or 0 without liveness networks,"
                f" found {shown(threshold)}"
            )

    @classmethod
    def of(cls, detector: object | None, pad: object | None) -> PinnedNetworks:
        """Return the digests of an open detector and of open liveness networks.

        Args:
            detector: A detector with the attribute `sha256`, such as `Detector.open` returns; None to pin none.
            pad: Liveness networks with the attributes `sha256`, a tuple, and `threshold`, such as `MiniFasNet.open`
                returns; None to pin none.

        Raises:
            InputError: an object has no digest, because it was not opened from a file.
        """
        if detector is not None and _detector_digest(detector) is None:
            raise InputError(f"expected a detector opened from a file, found {type(detector).__name__}")
        if pad is not None and not _liveness_digests(pad):
            raise InputError(f"expected liveness networks opened from files, found {type(pad).__name__}")
        return cls(
            None if detector is None else _detector_digest(detector),
            () if pad is None else _liveness_digests(pad),
            0.0 if pad is None else _threshold(pad),
        )

    def check(self, detector: object, pad: object | None) -> None:
        """Check that a recognizer uses the pinned networks.

        Args:
            detector: The detector.
            pad: The liveness networks; None if there are none.

        Raises:
            ModelMismatchError: a network is missing, is not a pinned one, or was not opened from a file; or the
                liveness threshold is lower than the pinned one.
        """
        digest = _detector_digest(detector)
        if self.detector is not None and digest != self.detector:
            raise ModelMismatchError(
                f"expected the detector that the gallery pins, {self.detector[:12]}, found {_name(digest)}",
                hint=_HINT,
            )
        if not self.liveness:
            return
        digests = () if pad is None else _liveness_digests(pad)
        if tuple(sorted(digests)) != self.liveness:
            raise ModelMismatchError(
                f"expected the liveness networks that the gallery pins, {_names(self.liveness)},"
                f" found {_names(digests)}",
                hint=_HINT,
            )
        threshold = _threshold(pad)
        if not threshold >= self.liveness_threshold:
            raise ModelMismatchError(
                f"expected a liveness threshold of at least {self.liveness_threshold:g}, which the gallery pins,"
                f" found {threshold:g}",
                hint=_HINT,
            )

    def words(self) -> str:
        """Describe what is pinned."""
        parts = [] if self.detector is None else [f"detector {self.detector[:12]}"]
        if self.liveness:
            parts.append(
                f"liveness {_names(self.liveness)} at a threshold of {self.liveness_threshold:g} or more"
            )
        return "; ".join(parts)


def pack_networks(networks: PinnedNetworks) -> bytes:
    """Pack pinned networks as the bytes of their record."""
    detectors = () if networks.detector is None else (networks.detector,)
    head = _HEAD.pack(networks.liveness_threshold, len(detectors), len(networks.liveness))
    return head + b"".join(bytes.fromhex(digest) for digest in (*detectors, *networks.liveness))


def parse_networks(value: bytes) -> PinnedNetworks:
    """Parse the record of pinned networks.

    Raises:
        GalleryFormatError: the length does not match the counts, or a value is out of range.
    """
    if len(value) < _HEAD.size:
        raise GalleryFormatError(
            f"expected {_HEAD.size} bytes of pinned networks or more, found {len(value)}"
        )
    threshold, detectors, liveness = _HEAD.unpack(value[: _HEAD.size])
    size = _HEAD.size + (detectors + liveness) * _DIGEST_BYTES
    if detectors > 1 or liveness > MAX_LIVENESS or len(value) != size:
        raise GalleryFormatError(
            f"expected at most 1 detector, {MAX_LIVENESS} liveness networks and {size} bytes,"
            f" found {detectors}, {liveness} and {len(value)} bytes"
        )
    digests = list(_digests(value[_HEAD.size :]))
    if not math.isfinite(threshold) or digests[detectors:] != sorted(digests[detectors:]):
        raise GalleryFormatError(
            "expected pinned networks in ascending order and a finite threshold, found another order or threshold"
        )
    try:
        return PinnedNetworks(digests[0] if detectors else None, tuple(digests[detectors:]), threshold)
    except InputError as error:
        raise GalleryFormatError(f"the record of pinned networks is malformed: {error}") from error


def _digests(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), _DIGEST_BYTES):
        yield data[start : start + _DIGEST_BYTES].hex()


def _detector_digest(detector: object) -> str | None:
    digest = getattr(detector, "sha256", None)
    return digest if isinstance(digest, str) else None


def _liveness_digests(pad: object) -> tuple[str, ...]:
    digests = getattr(pad, "sha256", ())
    is_known = isinstance(digests, tuple) and all(isinstance(digest, str) for digest in digests)
    return digests if is_known else ()


def _threshold(pad: object) -> float:
    threshold = getattr(pad, "threshold", math.nan)
    return float(threshold) if is_real(threshold) else math.nan


def _name(digest: str | None) -> str:
    return "one that was not opened from a file" if digest is None else digest[:12]


def _names(digests: Sequence[str]) -> str:
    return ", ".join(digest[:12] for digest in sorted(digests)) or "none"
