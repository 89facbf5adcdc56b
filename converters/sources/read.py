"""Read a trained file of any kind; its framework runs only in a child process."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.errors import SourceError
from converters.graph.network import Network
from converters.jobs.child_process import ChildError, run_job
from converters.sources import checks, kinds, pytorch_place
from converters.sources.source_request import Converted
from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray

TIMEOUT_S = 1800.0
_CHUNK = 1 << 20
_RUNTIMES = {
    "keras": "TensorFlow",
    "saved_model": "TensorFlow",
    "onnx": "the ONNX converter",
    "onnx_outputs": "the ONNX converter",
    "pytorch": "PyTorch",
    "tflite": "the interpreter",
    "tflite_outputs": "the interpreter",
}
_HINTS = {
    "crashed": "if another program opens the file, give the network in another format (ONNX, SavedModel, Keras, TFLite);"
    " otherwise copy it again",
    "timeout": "give a smaller network, or convert on a faster machine",
}


@dataclass(frozen=True)
class SourceModel:
    """A trained network as a float32 ``.tflite``, with the embeddings that its own runtime computes.

    Args:
        kind: ``keras``, ``saved_model``, ``onnx``, ``pytorch`` or ``tflite``, by content; or the name of a plug-in.
        path: The file or folder that was read.
        sha256: Hex digest of the file; of a SavedModel, over the sorted relative paths and contents.
        network: The converted network: NHWC, float32, one input, one output. The batch is 1, except
            that a ``.tflite`` source is passed on unchanged and may have another or a dynamic batch.
        witness: Shape (n, D), float32: embeddings of the n images by the source's own runtime.
        tools: Versions of the packages that read and converted it.
        notes: Notes for the report, such as a batch that was changed.
        output_name: Name of the chosen output; None if the source has one output.
    """

    kind: str
    path: Path
    sha256: str
    network: Network = field(repr=False)
    witness: FloatArray = field(repr=False)
    tools: Mapping[str, str]
    notes: tuple[str, ...] = ()
    output_name: str | None = None


def read_source(
    path: str | Path, *, contract: AnyContract, inputs: FloatArray, output_name: str | None = None
) -> SourceModel:
    """Read a trained file of any kind as a float32 ``.tflite`` with witness embeddings.

    Args:
        path: A ``.keras``, ``.h5``, ``.onnx``, ``.pt2`` or ``.tflite`` file, or a SavedModel folder; recognized by
            content. Or ``net.py:make``, a function that returns a torch.nn.Module; its code is run.
        contract: The network's input contract.
        inputs: Shape (n, H, W, C), float32: a few different images, normalized by the contract and
            in the network's channel order. About 16 are enough.
        output_name: Name of the output to convert: of an output or internal tensor of ONNX and TFLite, a layer of Keras, an
            output of a SavedModel's signature, or the key or number of an output of PyTorch. None if the network has one
            output.

    Returns:
        The network, and the embeddings of ``inputs`` by its own runtime.

    Raises:
        SourceError: The file is missing, damaged, of an unknown kind or not an embedding network, or contradicts the
            contract; or the packages for its kind are not installed.
        InputError: ``inputs`` contradict the contract.
    """
    path = Path(path)
    _check_inputs(inputs, contract)
    kind = kinds.recognize(path)
    if output_name is not None and kind not in kinds.BUILT_IN_KINDS:
        raise SourceError(
            f"{path}: the source plug-in {kind} takes no name of an output, found {output_name!r}",
            hint="give a file with one output, without --output-name",
        )
    code = pytorch_place.code_place(path)
    digest = _digest(path if code is None else code.file)
    converted = convert_in_child(kind, path, contract=contract, inputs=inputs, output_name=output_name)
    try:
        checks.check_witness(converted.witness, inputs)
    except SourceError as error:
        raise SourceError(f"{path}: {error}", hint=error.hint) from None
    return SourceModel(
        kind=kind,
        path=path,
        sha256=digest,
        network=Network(converted.tflite),
        witness=converted.witness,
        tools=converted.tools,
        notes=kinds.suffix_note(path, kind) + converted.notes,
        output_name=output_name,
    )


def convert_in_child(
    kind: str, path: Path, *, contract: AnyContract, inputs: FloatArray, output_name: str | None = None
) -> Converted:
    """Convert a source in a child process, so that the framework's memory use, output and crashes stay outside.

    Args:
        kind: A result of ``kinds.recognize``; with ``_outputs`` at its end for an ONNX or TFLite file with any outputs.
        path: The file or folder.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32.
        output_name: See ``read_source``.

    Raises:
        SourceError: The child reports an error, crashes, exits without a result or takes too long.
    """
    request = {
        "kind": kind,
        "path": str(path.resolve()),
        "contract": contract.to_json(),
        "output_name": output_name,
    }
    program = ("-m", "converters.sources.worker")
    try:
        with run_job(program, request, arrays={"inputs": inputs}, timeout_s=TIMEOUT_S) as job:
            return Converted(
                tflite=job.file("network.tflite"),
                witness=job.array("witness"),
                tools=job.value["tools"],
                notes=tuple(job.value["notes"]),
            )
    except ChildError as error:
        if error.end == "reported":
            raise SourceError(f"{path}: {error}", hint=error.hint) from error
        hint = error.hint or _HINTS.get(error.end)
        runtime = _RUNTIMES.get(kind, f"the source plug-in {kind}")
        raise SourceError(f"{path}: {runtime} {error}", hint=hint) from error


def _check_inputs(inputs: FloatArray, contract: AnyContract) -> None:
    if inputs.shape[1:] != contract.shape or not len(inputs):
        raise InputError(f"inputs: expected shape (n, {contract.shape}), found {inputs.shape}")
    if inputs.dtype != np.float32:
        raise InputError(f"inputs: expected float32, found {inputs.dtype}")
    if not np.isfinite(inputs).all():
        raise InputError("inputs: expected finite numbers, found NaN or infinity")


def _digest(path: Path) -> str:
    """Compute SHA-256 of a file, or of a folder's sorted relative paths and contents."""
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            for entry in sorted(entry for entry in path.rglob("*") if entry.is_file()):
                name = entry.relative_to(path).as_posix().encode()
                # The lengths prevent two different folders from giving the same stream of bytes.
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
