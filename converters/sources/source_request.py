"""What the parent asks of the child process, and what one kind of source gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_sdk.model.card import InputContract
from edge_sdk.types import FloatArray


@dataclass
class SourceRequest:
    """One source to convert.

    Args:
        kind: As ``kinds.recognize`` says.
        path: The file or folder, absolute.
        contract: The caller's input contract.
        inputs: Shape (n, H, W, C), float32, normalized.
        folder: A folder of the child's own for temporary files.
        stage: What is being done, for the message if a library fails in it.
    """

    kind: str
    path: Path
    contract: InputContract
    inputs: FloatArray = field(repr=False)
    folder: Path
    stage: str = "reading the file"


@dataclass(frozen=True)
class Converted:
    """What one kind of source becomes in the child.

    Args:
        tflite: The float32 network.
        witness: Shape (n, D), float32.
        tools: Versions of the packages used.
        notes: What a person should know.
    """

    tflite: bytes = field(repr=False)
    witness: FloatArray = field(repr=False)
    tools: Mapping[str, str]
    notes: tuple[str, ...] = ()


def tools(*packages: str) -> dict[str, str]:
    """The installed versions of the packages."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # the module may come from another distribution, such as tensorflow-cpu
        return "unknown"
