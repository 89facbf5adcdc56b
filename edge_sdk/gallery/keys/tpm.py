"""A secret that lies in a TPM 2.0."""

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
    """A secret in non-volatile memory of a TPM 2.0, through tpm2-tools. Level 4.

    Each slot has a secret of its own at an index of its own, so a secret can be destroyed: the key with
    which an erasure can be proven.

    Args:
        index: First of the 8 indices to use, 0x01000000..0x01bffff8; another for each gallery.
        pcrs: Registers that must hold what they held when the slot was made, such as `sha256:7`; empty for none.
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
        """A new secret at the first free index: u32 index, then the registers as ASCII.

        Raises:
            GalleryError: the TPM refuses, or no index is free.
        """
        taken = tpm_nv.indices()
        free = [index for index in range(self._index, self._index + INDICES) if index not in taken]
        if not free:
            raise GalleryError(
                f"the NV indices {self._index:#x}..{self._index + INDICES - 1:#x} are all taken",
                hint="tpm2_nvundefine those that no gallery uses, or name another first index",
            )
        tpm_nv.store_secret(free[0], random(KEY_BYTES), pcrs=self._pcrs)
        return _INDEX.pack(free[0]) + self._pcrs.encode()

    def secret(self, parameters: bytes) -> bytes:
        """Read the index: 32 bytes.

        Raises:
            GalleryFormatError: the parameters are malformed.
            GalleryError: the TPM refuses, or another TPM.
        """
        index, pcrs = _parsed(parameters)
        try:
            return tpm_nv.read_secret(index, KEY_BYTES, pcrs=pcrs)
        except GalleryError as error:
            if index in tpm_nv.indices():
                raise
            raise GalleryError(
                f"the TPM holds no secret at {index:#x}",
                hint="this is another TPM, or a copy of the gallery from before an erasure or rotation",
            ) from error

    def unclaimed(self, slots: Iterable[bytes]) -> tuple[int, ...]:
        """The indices among the key's own 8 that hold something and belong to none of these slots.

        A crash between a commit and the end of a secret leaves one there; another gallery with the same first index has
        its own there, so nothing is taken away unasked.

        Args:
            slots: Parameters of the slots in use.

        Raises:
            GalleryFormatError: the parameters are malformed.
            GalleryError: the TPM refuses.
        """
        used = {_parsed(parameters)[0] for parameters in slots}
        held = tpm_nv.indices() & {*range(self._index, self._index + INDICES)}
        return tuple(sorted(held - used))

    def forget(self, parameters: bytes) -> None:
        """Undefine the index; its secret is gone from the TPM."""
        index, _ = _parsed(parameters)
        if index in tpm_nv.indices():
            tpm_nv.undefine(index)


def _parsed(parameters: bytes) -> tuple[int, str]:
    pcrs = parameters[_INDEX.size :].decode("ascii", errors="replace")
    if len(parameters) < _INDEX.size or not _PCRS.fullmatch(pcrs):
        raise GalleryFormatError("the parameters of a TPM slot are no index and registers")
    (index,) = _INDEX.unpack(parameters[: _INDEX.size])
    if not tpm_nv.is_index(index):
        raise GalleryFormatError(f"the TPM slot names {index:#x}, which is no NV index")
    return index, pcrs
