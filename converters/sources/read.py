"""The one way in: a path becomes a ``SourceModel``."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from converters.errors import SourceError
from converters.sources import checks, child, kinds, pytorch_place
from converters.sources.source_model import SourceModel
from edge_sdk.errors import InputError
from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray

_CHUNK = 1 << 20


def read_source(path: str | Path, *, contract: InputContract, inputs: FloatArray) -> SourceModel:
    """Read a trained file of any kind as a float32 ``.tflite`` with witness embeddings.

    The frameworks run in a child process; this one imports none of them.

    Args:
        path: A ``.keras``, ``.h5``, ``.onnx``, ``.pt2`` or ``.tflite`` file, or a SavedModel folder; recognized by
            content. Or ``net.py:make``, a function that returns a torch.nn.Module; it is run.
        contract: What the network wants to see.
        inputs: Shape (n, H, W, C), float32: a few different images, normalized as the contract says and
            in the network's channel order. About 16 are enough.

    Returns:
        The network and what its own runtime answers to ``inputs``.

    Raises:
        SourceError: Missing, damaged, foreign, against the contract, not an embedding network, or the
            packages for its kind are not installed.
        InputError: ``inputs`` are not what the contract says.
    """
    path = Path(path)
    _check_inputs(inputs, contract)
    kind = kinds.recognize(path)
    code = pytorch_place.code_place(path)
    digest = _digest(path if code is None else code.file)
    answer = child.convert(kind, path, contract=contract, inputs=inputs)
    try:
        checks.check_witness(answer.witness, inputs)
    except SourceError as error:
        raise SourceError(f"{path}: {error}", hint=error.hint) from None
    return SourceModel(
        kind=kind,
        path=path,
        sha256=digest,
        tflite=answer.tflite,
        witness=answer.witness,
        tools=answer.tools,
        notes=kinds.suffix_note(path, kind) + answer.notes,
    )


def _check_inputs(inputs: FloatArray, contract: InputContract) -> None:
    if inputs.ndim != 4 or inputs.shape[1:] != contract.shape or not len(inputs):
        raise InputError(f"inputs: expected shape (n, {contract.shape}), found {inputs.shape}")
    if inputs.dtype != np.float32:
        raise InputError(f"inputs: expected float32, found {inputs.dtype}")
    if not np.isfinite(inputs).all():
        raise InputError("inputs: expected finite numbers, found NaN or infinity")


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's sorted relative paths and contents."""
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for entry in sorted(entry for entry in path.rglob("*") if entry.is_file()):
                name = entry.relative_to(path).as_posix().encode()
                # Lengths keep two different folders from giving the same stream of bytes.
                digest.update(len(name).to_bytes(8, "little") + name)
                digest.update(entry.stat().st_size.to_bytes(8, "little"))
                _feed(digest, entry)
        else:
            _feed(digest, path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, path: Path) -> None:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
