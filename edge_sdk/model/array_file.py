"""Read one sample from a .npy file; nothing in the file is executed, and its size is checked before memory is allocated."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from edge_sdk.errors import InputError
from edge_sdk.model.array_contract import MAX_VALUES, ArrayContract
from edge_sdk.types import SampleArray

SUFFIX = ".npy"
#: Largest file: the most values of a contract in float64, and a header.
MAX_FILE_BYTES = 8 * MAX_VALUES + (1 << 16)


def read_array(file: Path | bytes, contract: ArrayContract, *, name: str = "") -> SampleArray:
    """Read an array and check it against a contract.

    Args:
        file: Path or content of a .npy file with one sample.
        contract: Contract of the sample.
        name: Name of the file in error messages (default: its path).

    Returns:
        The contract's shape and type (`ArrayContract.sample`).

    Raises:
        InputError: The file cannot be read, is not a .npy of plain numbers, or does not fit the contract.
    """
    name = name or (str(file) if isinstance(file, Path) else "array")
    content = _content(file) if isinstance(file, Path) else file
    try:
        # Check the header first: numpy allocates what a header states.
        stream = io.BytesIO(content)
        version = np.lib.format.read_magic(stream)
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        contract.check_form(shape, dtype, name=name)
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except InputError:
        raise
    except (ValueError, EOFError, OSError, MemoryError, OverflowError, SyntaxError) as error:
        raise InputError(
            f"{name}: expected a .npy file, found another or a damaged one: {str(error).splitlines()[0][:200]}",
            hint="save each sample with numpy.save(name, array)",
        ) from error
    return contract.sample(values, name=name)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"{path}: expected a file of at most {MAX_FILE_BYTES >> 20} MiB, found a larger one")
    return content
