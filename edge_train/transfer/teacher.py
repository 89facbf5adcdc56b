"""A teacher: any network that the SDK runs, and a resumable file of its embeddings."""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from converters.data.embedding import embed_crops
from converters.graph.network import Network
from converters.progress import Progress
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray, UInt8Array
from edge_train.data.subjects import Subjects
from edge_train.errors import TrainingError
from edge_train.transfer.contract_file import read_contract_of

# Images that are decoded, embedded and written together; an interruption loses at most these.
_CHUNK = 64
_READERS = 2
_MOST_THREADS = 4
_CHECKED_IMAGES = 4


@dataclass(frozen=True, eq=False)
class Teacher:
    """A network that gives the embeddings to learn.

    Args:
        path: The file.
        network: Its float or int8 network.
        contract: Its input contract.
        dimension: Length of the embedding.
        sha256: SHA-256 of the file, hex; of a folder, that of its names and contents.
        notes: Notes on the conversion.
    """

    path: Path
    network: Network
    contract: InputContract
    dimension: int
    sha256: str
    notes: tuple[str, ...] = ()

    def embed(self, pixels: UInt8Array) -> FloatArray:
        """Embed images of the contract's size, shape (n, H, W, C), uint8; returns (n, D), float32, unit rows."""
        threads = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) - 1))
        return embed_crops(self.network, self.contract, pixels, threads=threads)


def read_teacher(path: Path, images: Subjects, *, contract: Path | None = None) -> Teacher:
    """Open a teacher: a ``.tflite`` file with a card, or any source that ``edge-convert`` reads, with its input contract.

    Args:
        path: The file or folder.
        images: Images on which a source's embeddings are compared with those of its own runtime.
        contract: JSON file with the input contract; None for the card, or ``NAME.contract.json`` beside the teacher.

    Raises:
        TrainingError: There is no contract, or the teacher does not take images.
        SourceError: The source cannot be read, or its embeddings differ from those of its own runtime.
        ModelError: The interpreter refuses the network.
        InputError: An image cannot be read.
    """
    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.sources.float_model import read_float_model
    from edge_sdk.model.model_file import read_model_bytes, split

    if not path.exists():
        raise TrainingError(f"{path}: expected a teacher's network, found no such file")
    if path.suffix.lower() == ".tflite":
        has_card = bool(split(read_model_bytes(path))[1])
        stated = None
        if contract is not None or not has_card:
            stated = read_contract_of(path, contract)
        opened = open_artefact(path, contract=stated)
        if not isinstance(opened.card.input, InputContract):
            raise TrainingError(
                f"{path}: expected a teacher of images, found one of {opened.card.input.describe()}"
            )
        return Teacher(
            path, opened.network, opened.card.input, opened.card.dimension, opened.sha256, opened.notes
        )
    own = read_contract_of(path, contract)
    chosen = images.flat[:: max(1, len(images.flat) // _CHECKED_IMAGES)][:_CHECKED_IMAGES]
    pixels = np.stack([np.asarray(images.samples.at_size(sample, own)) for sample in chosen])
    model = read_float_model(path, contract=own, inputs=_normalized(pixels, own))
    return Teacher(path, model.network, own, model.dimension, str(model.source["sha256"]), model.notes)


def _normalized(pixels: UInt8Array, contract: InputContract) -> FloatArray:
    ordered = pixels[..., ::-1] if contract.color == "bgr" else pixels
    mean, scale = np.asarray(contract.mean, np.float32), np.asarray(contract.scale, np.float32)
    values: FloatArray = (ordered.astype(np.float32) - mean) / scale
    return values


def teacher_embeddings(
    teacher: Teacher, images: Subjects, folder: Path, *, progress: Progress | None = None
) -> FloatArray:
    """Compute the teacher's embedding of each image once, into a memory-mapped file; continue a file that is incomplete.

    Args:
        teacher: The teacher.
        images: The images.
        folder: Folder of ``teacher.f32`` and ``teacher.json``, created if necessary. A file of another teacher or of other
            images is computed again.
        progress: Called with (done, total) images.

    Returns:
        Shape (N, D), float32, unit rows, in the order of ``images.flat``; read-only.

    Raises:
        InputError: An image cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data, state = folder / "teacher.f32", folder / "teacher.json"
    shape = (len(images.flat), teacher.dimension)
    key = _key(teacher, images)
    done = _done(state, key) if data.is_file() and data.stat().st_size == 4 * shape[0] * shape[1] else 0
    target: FloatArray = np.memmap(data, np.float32, "r+" if done else "w+", shape=shape)
    remaining = iter(images.flat[done:])
    with ThreadPoolExecutor(_READERS) as readers:
        while chunk := list(islice(remaining, _CHUNK)):
            pixels = readers.map(lambda sample: images.samples.at_size(sample, teacher.contract), chunk)
            target[done : done + len(chunk)] = teacher.embed(np.stack([np.asarray(part) for part in pixels]))
            done += len(chunk)
            target.flush()  # type: ignore[attr-defined]
            partial = state.with_suffix(".partial")
            partial.write_text(json.dumps({"key": key, "done": done}), encoding="utf-8")
            partial.replace(state)
            if progress is not None:
                progress(done, shape[0])
    return np.memmap(data, np.float32, "r", shape=shape)


def _done(state: Path, key: str) -> int:
    try:
        value = json.loads(state.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return int(value["done"]) if value.get("key") == key else 0


def _key(teacher: Teacher, images: Subjects) -> str:
    digest = hashlib.sha256(teacher.sha256.encode())
    digest.update(json.dumps(teacher.contract.to_json(), sort_keys=True).encode())
    for sample in images.flat:
        digest.update(f"\0{sample.name}".encode())
    return digest.hexdigest()
