"""Decode every picture once at a small size, in threads, and keep facts of fixed size about each."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.progress import Progress
from edge_sdk.errors import EdgeSdkError, InputError
from edge_sdk.types import UInt8Array
from edge_sdk.vision.image_container import read_container
from edge_sdk.vision.images import MAX_PIXELS, MIN_SIDE_PX, read_photograph

#: Side of the stored thumbnails.
THUMBNAIL_PX = 16
# JPEG files are decoded at an eighth of their size while they have more pixels than this.
_DECODED_PIXELS = 128 * 128
# A file of another format is decoded as a whole, up to 220 MB. Larger ones than this take turns.
_LARGE_PIXELS = 4_000_000
_MAX_THREADS = 8
_CHUNK = 32
#: An image of a smaller spread than this is blank; grey levels.
_BLANK = 3
# The channels of a grey image differ by less than this on average; grey levels.
_GRAY = 2.0


@dataclass(frozen=True, eq=False)
class PictureFacts:
    """Facts about pictures, in the order of their names.

    Args:
        names: Name of each picture, ``subject/file``.
        faults: Message for each picture that cannot be used, by position.
        sizes: Height and width of the upright picture, shape (N, 2), int32; 0 if unknown.
        small: True for pictures with a side under 16 px, shape (N,).
        gray: True for pictures without colour, shape (N,).
        blank: True for pictures of one flat colour, shape (N,).
        digests: First 16 bytes of the BLAKE2b hash of each file, shape (N, 16), uint8.
        thumbnails: Shape (N, 16, 16, 3), uint8.
    """

    names: tuple[str, ...]
    faults: dict[int, str]
    sizes: NDArray[np.int32]
    small: NDArray[np.bool_]
    gray: NDArray[np.bool_]
    blank: NDArray[np.bool_]
    digests: UInt8Array
    thumbnails: UInt8Array

    @property
    def usable(self) -> NDArray[np.bool_]:
        """True for pictures that can be decoded and are large enough, shape (N,)."""
        usable = ~self.small
        usable[list(self.faults)] = False
        return usable


def scan_pictures(
    names: Sequence[str],
    read: Callable[[str], bytes],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PictureFacts:
    """Decode pictures and collect their facts; about 0.8 KB per picture are kept.

    Args:
        names: Names of the pictures.
        read: Returns the bytes of a picture; raises InputError if they cannot be read.
        threads: Number of threads; None for one per processor, up to 8.
        progress: Called with (done, total).

    Raises:
        EdgeSdkError: Pillow is not installed.
    """
    count = len(names)
    facts = PictureFacts(
        tuple(names),
        {},
        np.zeros((count, 2), np.int32),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.zeros(count, bool),
        np.zeros((count, 16), np.uint8),
        np.zeros((count, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8),
    )
    turn = threading.Lock()

    def chunk(start: int) -> int:
        stop = min(start + _CHUNK, count)
        for position in range(start, stop):
            _look_at(facts, position, read, turn)
        return stop - start

    workers = threads or min(_MAX_THREADS, os.cpu_count() or 1)
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[int]] = deque()
        try:
            for start in range(0, count, _CHUNK):
                waiting.append(pool.submit(chunk, start))
                if len(waiting) > 2 * workers:
                    done += waiting.popleft().result()
                    if progress is not None:
                        progress(done, count)
            while waiting:
                done += waiting.popleft().result()
                if progress is not None:
                    progress(done, count)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return facts


def _look_at(facts: PictureFacts, position: int, read: Callable[[str], bytes], turn: threading.Lock) -> None:
    """Fill in the facts of one picture."""
    from PIL import Image

    name = facts.names[position]
    try:
        content = read(name)
        if not content:
            raise InputError("expected an image, found an empty file")
        facts.digests[position] = np.frombuffer(hashlib.blake2b(content, digest_size=16).digest(), np.uint8)
        container = read_container(content)
        facts.sizes[position] = container.height, container.width
        pixels = container.width * container.height
        if pixels > MAX_PIXELS:
            raise InputError(
                f"expected at most {MAX_PIXELS} pixels, found {container.width}x{container.height}"
            )
        if container.format != "JPEG" and pixels > _LARGE_PIXELS:
            with turn:
                image = _decoded(content, name)
        else:
            image = _decoded(content, name)
    except ValueError as error:  # InputError is a ValueError
        if isinstance(error.__cause__, ImportError) and "Pillow" in str(error):
            raise EdgeSdkError(str(error), hint=getattr(error, "hint", None)) from error
        facts.faults[position] = str(error).removeprefix(f"{name}: ")
        return
    if not container.width:
        facts.sizes[position] = image.shape[:2]
    elif (image.shape[0] > image.shape[1]) != (container.height > container.width):
        facts.sizes[position] = container.width, container.height  # EXIF turns the picture by 90 degrees.
    facts.small[position] = facts.sizes[position].min() < MIN_SIDE_PX
    thumbnail = Image.fromarray(image).resize((THUMBNAIL_PX, THUMBNAIL_PX), Image.Resampling.BILINEAR)
    facts.thumbnails[position] = small = np.asarray(thumbnail)
    facts.gray[position] = np.ptp(small.astype(np.int16), axis=2).mean() < _GRAY
    # Thin lines fade in a thumbnail, so the spread is that of the decoded pixels.
    facts.blank[position] = int(image.max()) - int(image.min()) < 2 * _BLANK or (
        float(image.std()) < _BLANK and float(small.std()) < 1
    )


def _decoded(content: bytes, name: str) -> UInt8Array:
    return read_photograph(io.BytesIO(content), fit_pixels=_DECODED_PIXELS, name=name)
