"""Key in the non-volatile memory of a TPM 2.0."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from typing import Final

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError
from edge_sdk.gallery.format.sealing import KEY_BYTES
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.keys.provider import SLOT_TPM_NV

DEFAULT_INDEX = 0x0150_0016
INDICES = 8
_INDEX = struct.Struct("<I")
_PCRS = re.compile(r"(sha256:[0-9]{1,2}(,[0-9]{1,2}){0,7})?")


class TpmKey:
    """Key in the non-volatile memory of a TPM 2.0, through tpm2-tools. Level 4.

    Each slot has a separate secret at a separate index. The secret can be destroyed, which makes an erasure provable.

    Args:
        index: First of the 8 NV indices to use, 0x01000000..0x01bffff8; different for each gallery.
        pcrs: Platform configuration registers that must be unchanged since the slot was made, such as `sha256:7`;
            empty for none.

    Raises:
        InputError: an index or a register is out of range.
    """

    name: Final = "TPM 2.0 NV memory"
    level: Final = 4
    slot_type: Final = SLOT_TPM_NV

    def __init__(self, *, index: int = DEFAULT_INDEX, pcrs: str = "sha256:7") -> None:
        if not tpm_nv.is_index(index) or not tpm_nv.is_index(index + INDICES - 1):
            raise InputError(f"expected an NV index in 0x01000000..0x01bffff8, found {index:#x}")
        if not _PCRS.fullmatch(pcrs):
            raise InputError(f"expected PCRs such as sha256:7, found {pcrs!r}")
        self._index = index
        self._pcrs = pcrs

    def __repr__(self) -> str:
        return f"TpmKey(index={self._index:#010x}, pcrs={self._pcrs!r})"

    def new_parameters(self, random: Callable[[int], bytes]) -> bytes:
        """Store a new secret at the first free index and return its place: u32 index, then the registers as ASCII.

        Args:
            random: Function that returns n random bytes.

        Raises:
            GalleryError: the TPM fails, or no index is free.
        """
        taken = tpm_nv.indices()
        free = [index for index in range(self._index, self._index + INDICES) if index not in taken]
        if not free:
            raise GalleryError(
                f"expected a free NV index in {self._index:#x}..{self._index + INDICES - 1:#x}, found none",
                hint="remove indices that no gallery uses with tpm2_nvundefine, or choose another first index",
            )
        tpm_nv.store_secret(free[0], random(KEY_BYTES), pcrs=self._pcrs)
        return _INDEX.pack(free[0]) + self._pcrs.encode()

    def secret(self, parameters: bytes) -> bytes:
        """Read the secret, 32 bytes.

        Args:
            parameters: Result of `new_parameters`.

        Raises:
            GalleryFormatError: the parameters are malformed.
            GalleryError: the TPM fails or holds no secret at the index.
        """
        index, pcrs = _parse_parameters(parameters)
        try:
            return tpm_nv.read_secret(index, KEY_BYTES, pcrs=pcrs)
        except GalleryError as error:
            if index in tpm_nv.indices():
                raise
            raise GalleryError(
                f"the TPM holds no secret at {index:#x}",
                hint="use the TPM that the gallery was sealed with; a copy made before an erasure or rotation can no longer be opened",
            ) from error

    def unclaimed(self, slots: Iterable[bytes]) -> tuple[int, ...]:
        """Return those of the key's 8 indices that are defined but belong to none of the slots.

        A crash between a commit and the destruction of an old secret leaves such an index. It may
        also belong to another gallery with the same first index, so it is reported and not removed.

        Args:
            slots: Parameters of the slots in use.

        Raises:
            GalleryFormatError: the parameters are malformed.
            GalleryError: the TPM fails.
        """
        used = {_parse_parameters(parameters)[0] for parameters in slots}
        defined = tpm_nv.indices() & {*range(self._index, self._index + INDICES)}
        return tuple(sorted(defined - used))

    def forget(self, parameters: bytes) -> None:
        """Undefine the index of a slot, which destroys its secret.

        Args:
            parameters: Result of `new_parameters`.

        Raises:
            GalleryFormatError: the parameters are malformed.
            GalleryError: the TPM fails.
        """
        index, _ = _parse_parameters(parameters)
        if index in tpm_nv.indices():
            tpm_nv.undefine(index)


def _parse_parameters(parameters: bytes) -> tuple[int, str]:
    pcrs = parameters[_INDEX.size :].decode("ascii", errors="replace")
    if len(parameters) < _INDEX.size or not _PCRS.fullmatch(pcrs):
        raise GalleryFormatError("expected an NV index and registers in a TPM slot, found other parameters")
    (index,) = _INDEX.unpack(parameters[: _INDEX.size])
    if not tpm_nv.is_index(index):
        raise GalleryFormatError(f"expected an NV index in the TPM slot, found {index:#x}")
    return index, pcrs
