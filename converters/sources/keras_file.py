"""Open a Keras file (``.keras`` or ``.h5``, of Keras 3 or 2) without running code that it contains."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from converters.data.archives import MAX_DIRECTORY_BYTES, MAX_MEMBERS
from converters.errors import SourceError
from edge_sdk.model.zip_archive import open_zip, read_member

_OTHER_WAY = "save the part up to the embedding without it, or give a SavedModel (model.export) or ONNX"
_MAX_CONFIG_BYTES = 64 << 20
_BROKEN = "copy it again, or save it again with model.save()"
_UNKNOWN_CLASS = re.compile(r"(?:Could not locate class|Unknown layer:) '([^']+)'")
#: Errors of Keras for damaged files and for files of other versions; they have no common base class.
LOADING_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    ImportError,
    OSError,
    RuntimeError,
)


def load(path: Path, folder: Path) -> tuple[Any, str, tuple[str, ...]]:
    """Load a Keras model that computes in float32.

    Args:
        path: The file.
        folder: Folder for a link, if the file's suffix is not the one that Keras expects.

    Returns:
        The model; ``keras``, or ``tf_keras`` if only Keras 2 can read the file; and notes.

    Raises:
        SourceError: The file is damaged or contains only weights, or the model has Lambda layers or unknown layers.
    """
    _refuse_code(_architecture(path))
    model, package, notes = _load(path, folder)
    return model, package, notes + _in_float32(model, package)


def _architecture(path: Path) -> Any:
    """Read the model's configuration as JSON, before the model is built."""
    text = _zip_config(path) if zipfile.is_zipfile(path) else _h5_config(path)
    try:
        return json.loads(text)
    except ValueError as error:
        raise SourceError(f"the Keras configuration is not JSON: {error}", hint=_BROKEN) from error


def _zip_config(path: Path) -> bytes:
    try:
        with open_zip(path, max_members=MAX_MEMBERS, max_directory_bytes=MAX_DIRECTORY_BYTES) as archive:
            broken = archive.testzip()
            text = read_member(archive, archive.getinfo("config.json"), max_bytes=_MAX_CONFIG_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise SourceError(f"the .keras file is damaged: {error}", hint=_BROKEN) from error
    if broken is not None:
        raise SourceError(f"the .keras file is damaged: {broken} has a wrong checksum", hint=_BROKEN)
    return text


def _h5_config(path: Path) -> str | bytes:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            text: str | bytes | None = file.attrs.get("model_config")
    except OSError as error:
        raise SourceError(f"the HDF5 file is damaged: {error}", hint=_BROKEN) from error
    if text is None:
        raise SourceError(
            "the HDF5 file contains weights without the network",
            hint="save the whole model with model.save('model.keras')",
        )
    return text


def _nodes(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a configuration that names a class, except losses and metrics, which are not loaded."""
    if isinstance(config, dict):
        if "class_name" in config:
            yield config
        for key, value in config.items():
            if key != "compile_config":
                yield from _nodes(value)
    elif isinstance(config, list):
        for value in config:
            yield from _nodes(value)


def _refuse_code(config: Any) -> None:
    """Refuse a file with Python code before the file is loaded, because the loader of old files would run the code."""
    for node in _nodes(config):
        inner = node.get("config")
        name = inner.get("name", "?") if isinstance(inner, dict) else "?"
        if node["class_name"] == "Lambda":
            raise SourceError(
                f"layer {name!r} is a Lambda: Python code in a model file is not run", hint=_OTHER_WAY
            )
        # Only custom classes have a registered name and no module.
        if node.get("registered_name") and node.get("module") is None:
            raise _custom(str(node["class_name"]))


def _custom(name: str) -> SourceError:
    return SourceError(f"the code of the custom class {name!r} is not in the file", hint=_OTHER_WAY)


def _load(path: Path, folder: Path) -> tuple[Any, str, tuple[str, ...]]:
    """Load with Keras 3, or with Keras 2 if only Keras 2 can read the file."""
    import keras

    file = _named(path, folder)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True), "keras", ()
    except LOADING_ERRORS as error:
        first = error
    import tf_keras

    try:
        model = tf_keras.models.load_model(file, compile=False, safe_mode=True)
    except LOADING_ERRORS:
        raise _cannot_load(first) from first
    return model, "tf_keras", ("the file was read with Keras 2 (tf_keras), because Keras 3 cannot read it",)


def _in_float32(model: Any, package: str) -> tuple[str, ...]:
    """Set a network that was trained in mixed precision to compute in float32, in place; return notes.

    TFLite has no float16 convolution. The network's variables are float32 already.
    """
    mixed = [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "compute_dtype", None) in ("float16", "bfloat16")
    ]
    if not mixed:
        return ()
    if package != "keras":
        raise SourceError(
            f"the model computes in {mixed[0].compute_dtype}, expected float32",
            hint="build the same network under the policy float32, load the weights into it, and save it",
        )
    kind = mixed[0].compute_dtype
    for layer in mixed:
        layer.dtype_policy = "float32"
    return (f"the Keras model computes in {kind} and is converted in float32",)


def _named(path: Path, folder: Path) -> str:
    """Return a path to the file with the suffix that Keras expects for its content; make a link if needed."""
    suffix = ".keras" if zipfile.is_zipfile(path) else ".h5"
    if path.suffix.lower() in (suffix, ".hdf5" if suffix == ".h5" else suffix):
        return str(path)
    link = folder / f"model{suffix}"
    link.symlink_to(path)
    return str(link)


def _cannot_load(error: BaseException) -> SourceError:
    text = str(error)
    if unknown := _UNKNOWN_CLASS.search(text):
        return _custom(unknown.group(1))
    line = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    return SourceError(f"Keras cannot load it: {line[:300]}", hint=_BROKEN)
