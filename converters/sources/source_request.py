"""Request and result of the child process that converts a source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import FloatArray


@dataclass
class SourceRequest:
    """One source to convert.

    Args:
        kind: Result of ``kinds.recognize``.
        path: The file or folder, absolute.
        contract: The input contract.
        inputs: Shape (n, H, W, C), float32, normalized.
        folder: The child's folder for temporary files.
        output_name: Name of the output to convert; None if the source has one output.
        stage: Current stage, for the message if a library fails in it.
    """

    kind: str
    path: Path
    contract: AnyContract
    inputs: FloatArray = field(repr=False)
    folder: Path
    output_name: str | None = None
    stage: str = "reading the file"


@dataclass(frozen=True)
class Converted:
    """A converted source.

    Args:
        tflite: The float32 network.
        witness: Shape (n, D), float32: outputs of the source's own runtime for the inputs.
        tools: Versions of the packages used.
        notes: Notes for the report.
    """

    tflite: bytes = field(repr=False)
    witness: FloatArray = field(repr=False)
    tools: Mapping[str, str]
    notes: tuple[str, ...] = ()


def tools(*packages: str) -> dict[str, str]:
    """Look up the installed versions of packages."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # the module may come from another distribution, such as tensorflow-cpu
        return "unknown"
