"""Find faces in frames of any size with YuNet or BlazeFace."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import InputError, ModelCardError
from edge_sdk.model.card import InputContract
from edge_sdk.model.model_file import read_model_bytes
from edge_sdk.model.network_card import FACE_DETECTOR, NetworkCard
from edge_sdk.runtime.network import Network
from edge_sdk.types import UInt8Array
from edge_sdk.vision import blazeface
from edge_sdk.vision.candidates import Candidates, Decoder, merge, sound
from edge_sdk.vision.faces import Face
from edge_sdk.vision.images import MAX_PIXELS, check_face
from edge_sdk.vision.resize import resize_fast
from edge_sdk.vision.yunet import YuNetDecoder

#: Intersection over union above which two candidates are one face; what both networks' makers use.
MAX_OVERLAP = 0.3
#: A face up to this share of a tile's side lies whole in one tile, wherever it is.
_TILE_OVERLAP = 0.25
MAX_TILES = 64
#: A candidate that ends so near a tile's edge, in pixels of the network's input, may be cut by it.
_EDGE_PX = 2.0


@dataclass(frozen=True)
class Tile:
    """A part of a frame that the network sees at once, in the frame's pixels."""

    top: int
    left: int
    height: int
    width: int


class Detector:
    """Finds faces and their landmarks.

    Not thread-safe: one detector owns one interpreter.

    Args:
        network: A network whose card says that it detects faces.
        min_score: Least score of a face, 0..1; the method's own where None.
        smallest_face_px: Width of the smallest face to find, in the frame's pixels. Where the whole frame,
            shrunk to the network's size, would make it too small, the frame is also looked at in tiles: four
            times the work or more. None looks at the whole frame alone.

    Raises:
        ModelCardError: The card names a method that is not known here.
        ModelContractError: The network's outputs are not the method's.
        InputError: A threshold outside its range.
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
            raise InputError(f"expected a least score above 0 and up to 1, found {min_score!r}")
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
        threads: int = 1,
    ) -> Detector:
        """Open a detector's file.

        Args:
            path: A .tflite that ``edge-convert auxiliary`` made, or one of the zoo's own (BlazeFace).
            min_score: As of the class.
            smallest_face_px: As of the class.
            sha256: The digest it must have, hex; checked before anything is parsed.
            threads: Interpreter threads.

        Raises:
            ModelError: The file is missing, altered, not a detector, or the interpreter refuses it.
            BackendUnavailableError: No interpreter is installed.
        """
        network = open_network(path, sha256=sha256, threads=threads)
        return cls(network, min_score=min_score, smallest_face_px=smallest_face_px)

    def detect(self, frame: UInt8Array) -> tuple[Face, ...]:
        """Find the faces of a frame.

        Args:
            frame: Shape (H, W, 3), uint8, RGB; a side of 16 px or more, 40 million pixels or fewer.

        Returns:
            The faces, the best score first; none is an answer too.

        Raises:
            InputError: Not such a frame, or too small a smallest face for so large a frame.
        """
        check_face(frame, 3)
        rows, columns = frame.shape[:2]
        if rows * columns > MAX_PIXELS:
            raise InputError(f"expected a frame of at most {MAX_PIXELS} pixels, found {rows}x{columns}")
        parts = [self._look(frame, tile) for tile in self._tiles(rows, columns)]
        found = sound(Candidates.joined(parts)) if len(parts) > 1 else parts[0]
        faces = merge(found, MAX_OVERLAP, blend=self._decoder.blends)
        return tuple(
            Face((x, y, w, h), points, score)
            for (x, y, w, h), points, score in zip(
                faces.boxes.tolist(), faces.landmarks, faces.scores.tolist(), strict=True
            )
        )

    def _look(self, frame: UInt8Array, tile: Tile) -> Candidates:
        """Candidates in one part of a frame, in the frame's pixels."""
        height, width = self._contract.height, self._contract.width
        shrink = min(height / tile.height, width / tile.width)
        rows = min(height, max(1, round(tile.height * shrink)))
        columns = min(width, max(1, round(tile.width * shrink)))
        view = frame[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        # The part lies in the canvas's upper left corner; what another part left beside it goes.
        self._canvas[rows:] = 0
        self._canvas[:rows, columns:] = 0
        resize_fast(view, rows, columns, out=self._canvas[:rows, :columns])
        found = self._decoder.decode(self._network.read(self._canvas), self.min_score)
        placed = found.placed(tile.width / columns, tile.height / rows, tile.left, tile.top)
        if view.shape == frame.shape:
            return placed
        margin = _EDGE_PX * tile.width / columns
        return placed[np.flatnonzero(_inside(placed, tile, frame.shape[0], frame.shape[1], margin))]

    def _tiles(self, rows: int, columns: int) -> Iterator[Tile]:
        """The whole frame, then tiles half its size, a quarter, until the smallest face is large enough."""
        yield Tile(0, 0, rows, columns)
        if self._smallest_face_px is None:
            return
        shrink = min(self._contract.height / rows, self._contract.width / columns)
        needed = self._decoder.smallest_face_px / (self._smallest_face_px * shrink)
        levels = max(0, math.ceil(math.log2(needed))) if needed > 1 else 0
        counts = [math.ceil(((1 << n) - 1) / (1 - _TILE_OVERLAP)) + 1 for n in range(1, levels + 1)]
        if sum(count * count for count in counts) > MAX_TILES:
            raise InputError(
                f"faces of {self._smallest_face_px:g} px in a frame of {rows}x{columns} would take more than"
                f" {MAX_TILES} looks",
                hint="ask for larger faces, shrink the frame, or cut out where faces can be",
            )
        for level, count in enumerate(counts, start=1):
            height, width = math.ceil(rows / (1 << level)), math.ceil(columns / (1 << level))
            for row in range(count):
                for column in range(count):
                    yield Tile(
                        round((rows - height) * row / (count - 1)),
                        round((columns - width) * column / (count - 1)),
                        height,
                        width,
                    )


def open_network(path: str | Path, *, sha256: str | None = None, threads: int = 1) -> Network:
    """A detector's network alone; arguments and errors as of ``Detector.open``."""
    return _listed(path, sha256, threads) or Network.open(
        path, task=FACE_DETECTOR, sha256=sha256, threads=threads
    )


def _inside(found: Candidates, tile: Tile, rows: int, columns: int, margin: float) -> NDArray[np.bool_]:
    """Which candidates a tile's edge does not cut; another tile, or the whole frame, shows those it cuts."""
    left, top = found.boxes[:, 0], found.boxes[:, 1]
    right, bottom = left + found.boxes[:, 2], top + found.boxes[:, 3]
    whole = np.ones(len(found), np.bool_)
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
        f"network card: expected a face detector's method of {known}, found {card.method!r}",
        hint="update edge-sdk",
    )


def _listed(path: str | Path, sha256: str | None, threads: int) -> Network | None:
    """The network of a file of the zoo that has no card, known by its digest; None where it is not one."""
    import hashlib

    from edge_sdk import zoo

    data = read_model_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    entry = zoo.by_digest(digest)
    if entry is None or entry.task != FACE_DETECTOR or (sha256 or digest).strip().lower() != digest:
        return None
    if not entry.output_names:
        return None
    from edge_sdk.runtime.backends.litert import LiteRtNetwork

    card = NetworkCard(
        name=entry.name,
        task=entry.task,
        method=entry.method,
        precision="float32",
        input=entry.contract,
        outputs=entry.output_names,
        network_sha256=digest,
        licence=entry.licence,
    )
    return Network(LiteRtNetwork(data, threads=threads), card)
