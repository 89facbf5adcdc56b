"""Detection of faces in frames of any size with YuNet or BlazeFace."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, ModelCardError
from edge_sdk.model.card import InputContract
from edge_sdk.model.hashed_bytes import HashedBytes
from edge_sdk.model.model_file import parse_carded, read_model_bytes
from edge_sdk.model.network_card import FACE_DETECTOR, NetworkCard
from edge_sdk.runtime.network import Network
from edge_sdk.runtime.threads import thread_count
from edge_sdk.types import UInt8Array
from edge_sdk.vision import blazeface
from edge_sdk.vision.candidates import Candidates, Decoder, merge, valid_candidates
from edge_sdk.vision.faces import Face
from edge_sdk.vision.images import MAX_PIXELS, check_image
from edge_sdk.vision.resize import resize_fast
from edge_sdk.vision.yunet import YuNetDecoder

#: Intersection over union above which two candidates are one face; the value of both networks' authors.
MAX_OVERLAP = 0.3
#: Overlap of neighbouring tiles, as a share of a tile's side. A face of up to this size is whole in at least one tile.
_TILE_OVERLAP = 0.25
MAX_TILES = 64
#: Tiles find faces this many times narrower than the whole frame alone: 9 of half its size and 25 of a quarter; a third
#: level would exceed MAX_TILES.
MAX_GAIN = 4
#: A candidate that ends closer than this to a tile's edge, in pixels of the network's input, may be cut by it.
_EDGE_PX = 2.0


@dataclass(frozen=True)
class FrameTile:
    """Part of a frame that the network processes at once, in the frame's pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width, height."""
        return self.left, self.top, self.width, self.height


class Detector:
    """Finds faces and their landmarks.

    Not thread-safe: one detector owns one interpreter.

    Args:
        network: A network whose card states the task of face detection.
        min_score: Lowest score of a face, above 0 and up to 1. None uses the method's default.
        smallest_face_px: Width of the smallest face to detect, in the frame's pixels. If this face would be too
            small in the whole frame at the network's size, the frame is also processed in tiles, which takes at
            least four times as long. None processes the whole frame only.

    Raises:
        ModelCardError: The card names an unknown method.
        ModelContractError: The network's outputs do not fit the method.
        InputError: A threshold is outside its range.
    """

    def __init__(
        self,
        network: Network,
        *,
        min_score: float | None = None,
        smallest_face_px: float | None = None,
    ) -> None:
        self._decoder = _decoder(network)
        self.min_score = self._decoder.score if min_score is None else min_score
        if not 0 < self.min_score <= 1:
            raise InputError(f"expected a lowest score above 0 and up to 1, found {min_score!r}")
        if smallest_face_px is not None and not smallest_face_px > 0:
            raise InputError(f"expected a smallest face above 0 px, found {smallest_face_px!r}")
        self._network = network
        self._smallest_face_px = smallest_face_px
        self._contract: InputContract = network.card.input
        self._canvas = np.zeros(self._contract.shape, np.uint8)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        min_score: float | None = None,
        smallest_face_px: float | None = None,
        sha256: str | None = None,
        threads: int | None = None,
    ) -> Detector:
        """Open a detector's file.

        Args:
            path: A .tflite from ``edge-convert auxiliary``, or a .tflite of the zoo (BlazeFace).
            min_score: Lowest score of a face, above 0 and up to 1. None uses the method's default.
            smallest_face_px: Width of the smallest face to detect, in the frame's pixels; see the class.
            sha256: Expected digest, hex; checked before anything is parsed. None skips the check.
            threads: Number of interpreter threads, 1 or more; None for one on each performance core, at most 4.

        Raises:
            ModelError: The file is missing, altered or not a detector, or the interpreter refuses it.
            BackendUnavailableError: No interpreter is installed.
        """
        network = open_network(path, sha256=sha256, threads=threads)
        return cls(network, min_score=min_score, smallest_face_px=smallest_face_px)

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the detector's file, hex; None if it was not opened from a file."""
        return self._network.sha256

    def detect(self, frame: UInt8Array, *, near: Face | None = None) -> tuple[Face, ...]:
        """Find the faces of a frame.

        Args:
            frame: Shape (H, W, 3), uint8, RGB; each side 16 px or more, at most 40 million pixels.
            near: Face of the frame before. If it is given and this detector uses tiles, only the whole frame and the tiles
                around that face are processed: a face there is found with the same result as in all tiles, and small faces
                elsewhere are not found. If none is found there, all tiles are processed. None processes all tiles.

        Returns:
            The faces, the best score first; may be empty.

        Raises:
            InputError: The frame is malformed or too large, or the smallest face is too small for a frame of this size.
        """
        check_image(frame, 3)
        rows, columns = frame.shape[:2]
        if rows * columns > MAX_PIXELS:
            raise InputError(f"expected a frame of at most {MAX_PIXELS} pixels, found {rows}x{columns}")
        tiles = list(self._tiles(rows, columns))
        if near is not None and len(tiles) > 1:
            x, y, w, h = near.box
            around = (x - w / 2, y - h / 2, 2 * w, 2 * h)
            faces = self._detect_tiles(frame, [tile for tile in tiles if _meet(around, tile.box)])
            if any(_meet(near.box, face.box) for face in faces):
                return faces
        return self._detect_tiles(frame, tiles)

    def _detect_tiles(self, frame: UInt8Array, tiles: Sequence[FrameTile]) -> tuple[Face, ...]:
        parts = [self._detect_in(frame, tile) for tile in tiles]
        candidates = valid_candidates(Candidates.joined(parts)) if len(parts) > 1 else parts[0]
        faces = merge(candidates, MAX_OVERLAP, blend=self._decoder.blends)
        return tuple(
            Face((x, y, w, h), points, score)
            for (x, y, w, h), points, score in zip(
                faces.boxes.tolist(), faces.landmarks, faces.scores.tolist(), strict=True
            )
        )

    def smallest_width_px(self, rows: int, columns: int) -> float:
        """Return the width of the smallest face that is found in a frame of this size, in the frame's pixels."""
        shrink = min(self._contract.height / rows, self._contract.width / columns)
        in_whole_frame = self._decoder.smallest_face_px / shrink
        return min(in_whole_frame, self._smallest_face_px or in_whole_frame)

    def _detect_in(self, frame: UInt8Array, tile: FrameTile) -> Candidates:
        """Find candidates in one part of a frame; the result is in the frame's pixels."""
        height, width = self._contract.height, self._contract.width
        shrink = min(height / tile.height, width / tile.width)
        rows = min(height, max(1, round(tile.height * shrink)))
        columns = min(width, max(1, round(tile.width * shrink)))
        view = frame[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        # The part fills the canvas's upper left corner; clear the rest, which may contain an earlier part.
        self._canvas[rows:] = 0
        self._canvas[:rows, columns:] = 0
        resize_fast(view, rows, columns, out=self._canvas[:rows, :columns])
        candidates = self._decoder.decode(self._network.read(self._canvas), self.min_score)
        in_frame = candidates.mapped(tile.width / columns, tile.height / rows, tile.left, tile.top)
        if view.shape == frame.shape:
            return in_frame
        margin = _EDGE_PX * tile.width / columns
        return in_frame[np.flatnonzero(_inside(in_frame, tile, frame.shape[0], frame.shape[1], margin))]

    def _tiles(self, rows: int, columns: int) -> Iterator[FrameTile]:
        """Generate the whole frame, then tiles of 1/2 its size, 1/4 and so on, until the smallest face is large enough."""
        yield FrameTile(0, 0, rows, columns)
        if self._smallest_face_px is None:
            return
        shrink = min(self._contract.height / rows, self._contract.width / columns)
        needed = self._decoder.smallest_face_px / (self._smallest_face_px * shrink)
        levels = max(0, math.ceil(math.log2(needed))) if needed > 1 else 0
        counts = [math.ceil(((1 << n) - 1) / (1 - _TILE_OVERLAP)) + 1 for n in range(1, levels + 1)]
        if sum(count * count for count in counts) > MAX_TILES:
            raise InputError(
                f"faces of {self._smallest_face_px:g} px in a frame of {rows}x{columns} would take more than"
                f" {MAX_TILES} tiles",
                hint="choose a larger smallest face, shrink the frame, or crop the region of interest",
            )
        for level, count in enumerate(counts, start=1):
            height, width = math.ceil(rows / (1 << level)), math.ceil(columns / (1 << level))
            for row in range(count):
                for column in range(count):
                    yield FrameTile(
                        round((rows - height) * row / (count - 1)),
                        round((columns - width) * column / (count - 1)),
                        height,
                        width,
                    )


def open_network(path: str | Path, *, sha256: str | None = None, threads: int | None = None) -> Network:
    """Open a detector's network without its decoder; arguments and errors are those of ``Detector.open``."""
    content, threads = HashedBytes(read_model_bytes(path)), thread_count(threads)
    if (sha256 or content.sha256).strip().lower() == content.sha256:
        network = _open_zoo_network(content, threads)
        if network is not None:
            return network
    return Network.of_file(parse_carded(content, path, sha256=sha256), task=FACE_DETECTOR, threads=threads)


def _meet(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Return True if two boxes (left, top, width, height) share an area."""
    return all(
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) > max(first[axis], second[axis])
        for axis in (0, 1)
    )


def _inside(
    candidates: Candidates, tile: FrameTile, rows: int, columns: int, margin: float
) -> NDArray[np.bool_]:
    """Select the candidates that a tile's edge does not cut; other tiles, or the whole frame, contain the others."""
    left, top = candidates.boxes[:, 0], candidates.boxes[:, 1]
    right, bottom = left + candidates.boxes[:, 2], top + candidates.boxes[:, 3]
    whole = np.ones(len(candidates), np.bool_)
    if tile.left > 0:
        whole &= left > tile.left + margin
    if tile.top > 0:
        whole &= top > tile.top + margin
    if tile.left + tile.width < columns:
        whole &= right < tile.left + tile.width - margin
    if tile.top + tile.height < rows:
        whole &= bottom < tile.top + tile.height - margin
    return whole


def _decoder(network: Network) -> Decoder:
    card = network.card
    height, width = card.input.height, card.input.width
    if card.method == "yunet":
        return YuNetDecoder(height, width, network.shapes)
    if card.method in blazeface.GRIDS:
        return blazeface.BlazeFaceDecoder(card.method, height, width, network.shapes)
    known = ", ".join(("yunet", *blazeface.GRIDS))
    raise ModelCardError(
        f"network card: expected one of the detection methods {known}, found {card.method!r}",
        hint="update edge-sdk",
    )


def _open_zoo_network(content: HashedBytes, threads: int) -> Network | None:
    """Open a zoo file without a card, recognized by its digest; None for any other file."""
    from edge_sdk import zoo

    entry = zoo.by_digest(content.sha256)
    if entry is None or entry.task != FACE_DETECTOR or not entry.output_names:
        return None
    from edge_sdk.runtime.backends.litert import LiteRtNetwork

    card = NetworkCard(
        name=entry.name,
        task=entry.task,
        method=entry.method,
        precision="float32",
        input=entry.contract,
        outputs=entry.output_names,
        network_sha256=content.sha256,
        licence=entry.licence,
    )
    return Network(LiteRtNetwork(content.data, threads=threads), card, sha256=content.sha256)
