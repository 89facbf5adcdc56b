"""Recognize the kind of a file by its content, without any package that parses models.

The file's suffix does not matter. If a file is not a model, the error names the kind of file that it is.
"""

from __future__ import annotations

import zipfile
from enum import Enum
from io import BufferedReader
from pathlib import Path

from converters.data.archives import MAX_DIRECTORY_BYTES, MAX_MEMBERS
from converters.errors import SourceError
from converters.sources.pytorch_place import code_place
from edge_sdk.model.zip_archive import open_zip
from edge_sdk.plugins import find_plugins, load_plugin

PLUGIN_GROUP = "edge_convert.sources"
BUILT_IN_KINDS = ("keras", "saved_model", "onnx", "onnx_outputs", "pytorch", "tflite", "tflite_outputs")
MAX_SOURCE_BYTES = 2 << 30  # also the limit of FlatBuffers and protobuf
KINDS = "Keras (.keras, .h5), SavedModel folder, ONNX, PyTorch (.pt2, net.py:make) or TFLite"
_SUFFIXES = {
    "keras": (".keras", ".h5", ".hdf5"),
    "onnx": (".onnx",),
    "pytorch": (".pt2",),
    "tflite": (".tflite", ".lite"),
}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_TO_ONNX = "export it to ONNX: torch.onnx.export(model.eval(), torch.zeros(1, 3, H, W), 'model.onnx')"
_TO_PT2 = (
    "load it in Python and export the network: torch.export.save(torch.export.export(model.eval(),"
    " (torch.zeros(1, 3, H, W),)), 'model.pt2'), or to ONNX"
)
_OTHER_KINDS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
    (b"GGUF", "a GGUF file"),
)


def recognize(path: Path) -> str:
    """Recognize the kind of a source.

    Args:
        path: A file, the folder of a SavedModel, or a function in a Python file.

    Returns:
        ``keras``, ``saved_model``, ``onnx``, ``pytorch`` or ``tflite``; or the name of a plug-in in the group
        ``edge_convert.sources`` that recognizes a file of no built-in kind.

    Raises:
        SourceError: The file is missing, empty, unreadable, too large, cut short, or of another kind.
        PluginError: A source plug-in cannot be loaded.
    """
    try:
        return _recognize_built_in(path)
    except SourceError:
        plugins = find_plugins(PLUGIN_GROUP, reserved=BUILT_IN_KINDS) if path.exists() else {}
        for name, plugin in plugins.items():
            if load_plugin(plugin).recognize(path):
                return name
        raise


def _recognize_built_in(path: Path) -> str:
    try:
        if code_place(path) is not None:
            return "pytorch"
        if path.is_dir():
            return _of_folder(path)
        if not path.is_file():
            raise SourceError(f"{path}: no such file", hint=f"give the path of a trained model: {KINDS}")
        size = path.stat().st_size
        if size == 0:
            raise SourceError(f"{path}: the file is empty", hint="copy or download it again")
        if size > MAX_SOURCE_BYTES:
            raise SourceError(f"{path}: expected at most {MAX_SOURCE_BYTES} bytes, found {size}")
        with path.open("rb") as stream:
            return _of_file(path, stream, size)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from error


def suffix_note(path: Path, kind: str) -> tuple[str, ...]:
    """Return a note if the file has a suffix of another kind than its content."""
    suffix = path.suffix.lower()
    if any(suffix in named for other, named in _SUFFIXES.items() if other != kind):
        return (f"{path.name} is named {suffix} and is {_article(kind)} file by its content",)
    return ()


def _article(kind: str) -> str:
    return {"keras": "a Keras", "onnx": "an ONNX", "pytorch": "a PyTorch", "tflite": "a TFLite"}.get(
        kind, f"a {kind}"
    )


def _of_folder(path: Path) -> str:
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    inside = sorted(entry.name for entry in path.iterdir())[:5]
    raise SourceError(
        f"{path}: expected a SavedModel folder with saved_model.pb, found {', '.join(inside) or 'nothing'}",
        hint=f"give {KINDS}",
    )


def _of_file(path: Path, stream: BufferedReader, size: int) -> str:
    head = stream.read(4096)
    if head[4:8] == b"TFL3":
        return "tflite"
    if head.startswith(_HDF5):
        return "keras"
    if head.startswith(b"PK"):
        return _of_zip(path)
    whole = _onnx_is_whole(stream, size)
    if whole:
        return "onnx"
    if whole is False:
        raise SourceError(f"{path}: the ONNX file is cut short", hint="copy or download it again")
    what, hint = _describe_other(path, head)
    raise SourceError(f"{path}: expected {KINDS}, found {what}", hint=hint)


def _of_zip(path: Path) -> str:
    try:
        with open_zip(path, max_members=MAX_MEMBERS, max_directory_bytes=MAX_DIRECTORY_BYTES) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise SourceError(
            f"{path}: the ZIP file (.keras or PyTorch) is cut short or damaged",
            hint="copy or download it again",
        ) from error
    if "config.json" in names and "metadata.json" in names:
        return "keras"
    if any(name.endswith(("archive_format", "serialized_exported_program.json")) for name in names):
        return "pytorch"
    if any(name.endswith(("/data.pkl", "/constants.pkl")) for name in names):
        raise SourceError(f"{path}: expected {KINDS}, found PyTorch weights or TorchScript", hint=_TO_PT2)
    raise SourceError(
        f"{path}: expected {KINDS}, found a ZIP archive with {', '.join(names[:3]) or 'nothing in it'}",
        hint="unpack it and give the model inside",
    )


def _describe_other(path: Path, head: bytes) -> tuple[str, str]:
    """Name the kind of a file that is not a model, and return a hint."""
    for magic, name in _OTHER_KINDS:
        if head.startswith(magic):
            return name, "give the trained model"
    if head.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return "a Python pickle (an old PyTorch file?)", _TO_PT2
    if head[8:10] == b'{"':
        return "a safetensors file, weights without a network", _TO_ONNX
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer instead of the file", "fetch the file itself: git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "a web page", "the download went wrong; fetch the file itself"
    if path.name == "saved_model.pb":
        return "one part of a SavedModel", f"give its folder: {path.parent}"
    if _is_text(head):
        return "a text file", "give the trained model"
    if path.suffix == ".pb":
        return "a frozen TensorFlow graph or another .pb file", "export a SavedModel folder or ONNX"
    return "something else", "export the model to ONNX, or save it as .keras"


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in (9, 10, 13) for byte in head)


class _Wire(Enum):
    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


_ONNX_FIELDS = {
    1: _Wire.VARINT,  # ir_version
    2: _Wire.BYTES,  # producer_name
    3: _Wire.BYTES,  # producer_version
    4: _Wire.BYTES,  # domain
    5: _Wire.VARINT,  # model_version
    6: _Wire.BYTES,  # doc_string
    7: _Wire.BYTES,  # graph
    8: _Wire.BYTES,  # opset_import
    14: _Wire.BYTES,  # metadata_props
    20: _Wire.BYTES,  # training_info
    25: _Wire.BYTES,  # functions
    26: _Wire.BYTES,  # configuration
}
_GRAPH_FIELD = 7


def _onnx_is_whole(stream: BufferedReader, size: int) -> bool | None:
    """Walk the top-level fields of an onnx.ModelProto (protobuf wire format), skipping their contents.

    Returns:
        True for a whole ONNX file, False for an ONNX file that is cut short, None for any other file.
    """
    stream.seek(0)
    has_graph = False
    while (at := stream.tell()) < size:
        tag = _varint(stream)
        if tag is None or _wire(tag) is None or _ONNX_FIELDS.get(tag >> 3) is not _wire(tag):
            return False if has_graph and tag is None else None
        value = _varint(stream)
        if value is None:
            return False if has_graph else None
        if _wire(tag) is not _Wire.BYTES:
            continue
        if at == 0:
            return None  # every exporter writes ir_version first
        has_graph = has_graph or tag >> 3 == _GRAPH_FIELD
        if stream.tell() + value > size:
            return False if has_graph else None
        stream.seek(value, 1)
    return True if has_graph else None


def _wire(tag: int) -> _Wire | None:
    try:
        return _Wire(tag & 7)
    except ValueError:
        return None


def _varint(stream: BufferedReader) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None
