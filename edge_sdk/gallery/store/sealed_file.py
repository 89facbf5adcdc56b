"""Read and write one generation of a gallery: the sealed file together with its anchor."""

from __future__ import annotations

import contextlib
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_sdk.errors import GalleryError, GalleryFormatError, RollbackError, SealError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    ANCHOR_IDENTITY,
    KEY_NAMES,
    SLOT_KEYS,
    Content,
    pack_content,
    parse_content,
)
from edge_sdk.gallery.format.header import MAX_FILE_BYTES, VERSION, Header, pack_header, parse_header
from edge_sdk.gallery.format.key_names import parse_key_names
from edge_sdk.gallery.format.model_binding import require_model
from edge_sdk.gallery.keys import KeyProvider, slot_kind
from edge_sdk.gallery.keys.provider import slot_key_of
from edge_sdk.gallery.rules.real_numbers import is_real, shown
from edge_sdk.gallery.store.anchor import Anchor, NoAnchor, must_advance, require_identity
from edge_sdk.gallery.store.files import (
    FileSystem,
    PosixFileSystem,
    cannot,
    checked_path,
    locked,
    read_gallery,
    read_head,
    write_atomically,
)

MAX_GENERATION = (1 << 63) - 1  # the largest number in an entry of the audit log
_MAX_TIME_S = 253_402_300_799  # end of the year 9999


@dataclass(frozen=True, repr=False)
class Environment:
    """Everything outside the process that a gallery uses; tests replace each part.

    Attributes:
        path: The gallery file.
        files: The file system.
        anchor: The memory of the newest generation.
        random: Returns n random bytes.
        clock: Returns Unix seconds; from `checked_clock`.
    """

    path: Path
    files: FileSystem
    anchor: Anchor
    random: Callable[[int], bytes]
    clock: Callable[[], float]

    @classmethod
    def of(
        cls,
        path: str | os.PathLike[str],
        *,
        anchor: Anchor | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
    ) -> Environment:
        """Return an environment; by default with the device's own file system and without an anchor."""
        return cls(
            checked_path(path),
            filesystem or PosixFileSystem(),
            anchor or NoAnchor(),
            random,
            checked_clock(clock),
        )


@dataclass(frozen=True)
class OpenSlot:
    """The key slot through which a gallery was opened.

    Attributes:
        index: Number of the slot.
        slot_key: Its key-encryption key, never shown.
    """

    index: int
    slot_key: bytes = field(repr=False)


@dataclass(frozen=True, repr=False)
class Generation:
    """One generation of a gallery, read from its file and authenticated.

    Attributes:
        head: The header's bytes; they differ between any two generations.
        header: The parsed header.
        content: The opened content.
        slot: The slot it was opened through.
    """

    head: bytes
    header: Header
    content: Content
    slot: OpenSlot


def checked_clock(clock: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that raises GalleryError for times outside 1970 to 9999.

    A commit stores its time, and validity is not checked at an earlier time; a wrong time could keep subjects out.
    """

    def now_s() -> float:
        time_s = clock()
        if not is_real(time_s) or not 0 <= time_s <= _MAX_TIME_S:
            raise GalleryError(
                f"the device's clock gives {shown(time_s)} s, expected Unix seconds from 1970 to the year 9999",
                hint="set the clock",
            )
        return time_s

    return now_s


def open_generation(
    environment: Environment, key: KeyProvider, *, model_id: bytes | None = None, anchored: bool = True
) -> Generation:
    """Read, authenticate and check the gallery file.

    Args:
        environment: File and anchor.
        key: One of the gallery's keys.
        model_id: Id of the model in use, see `model_binding.require_model`; not compared if None.
        anchored: False skips the comparison with the anchor.

    Raises:
        GalleryError: see `Gallery.open`.
    """
    if not anchored:
        environment = replace(environment, anchor=NoAnchor())
    file, anchor_generation = read(environment)
    header = parse_header(file)
    slot, data_key = unlock(header, key)
    generation = authenticate(file, header, data_key, slot)
    if model_id is not None:
        require_model(header, generation.content, model_id)
    check_anchor(environment, generation, anchor_generation)
    return generation


def open_newer(environment: Environment, key: KeyProvider, current: Generation) -> Generation:
    """Read the generation that another process committed after `current`.

    Raises:
        RollbackError: the file has no newer generation than `current`, or an older key epoch.
        GalleryError: the file is another gallery, or the key does not open it after a key rotation.
    """
    file, anchor_generation = read(environment)
    header, known = parse_header(file), current.header
    if header.gallery_id != known.gallery_id:
        raise GalleryError(f"{environment.path} is another gallery now", hint="open it again")
    if header.generation <= known.generation:
        raise RollbackError(
            f"the gallery went from generation {known.generation} to {header.generation}: an old copy was put back"
        )
    if header.key_epoch < known.key_epoch:
        raise RollbackError(
            f"the gallery went from key epoch {known.key_epoch} to {header.key_epoch}: "
            "it was written with keys from before a rotation",
            hint="if you put a backup into use (re-anchor), open it again; else put the newest gallery back",
        )
    slot, data_key = _unlock_newer(header, key, current)
    generation = authenticate(file, header, data_key, slot)
    check_anchor(environment, generation, anchor_generation)
    return generation


def read_back(environment: Environment, slot: OpenSlot) -> Generation:
    """Read and authenticate the file through a known slot, without the anchor; errors as `open_newer`."""
    file = read_gallery(environment.files, environment.path)
    header = parse_header(file)
    data_key = sealing.unwrap(header, header.slots[slot.index], slot.slot_key)
    return authenticate(file, header, data_key, slot)


def write_generation(
    environment: Environment, header: Header, content: Content, slot: OpenSlot
) -> Generation:
    """Seal a generation in the current format version and replace the file atomically.

    The caller holds the lock and advances the anchor.

    Args:
        environment: File and random bytes.
        header: Header of the new generation; its version is raised to the current one.
        content: Its content, with the keys of all its slots.
        slot: The slot used to read the new file back before it replaces the old one.

    Returns:
        The generation as read back.

    Raises:
        GalleryError: the file would be over 64 MiB, cannot be opened when read back, or a step failed.
    """
    header = replace(header, version=VERSION)
    plaintext = pack_content(content)
    size_bytes = len(pack_header(header)) + sealing.sealed_body_bytes(len(plaintext))
    if size_bytes > MAX_FILE_BYTES:
        raise GalleryError(f"the gallery would be {size_bytes} bytes, at most {MAX_FILE_BYTES} are allowed")
    sealed = sealing.seal(header, slot_keys_of(content), plaintext, random=environment.random)
    stored: list[Generation] = []

    def check(data: bytes) -> None:
        written = parse_header(data)
        data_key = sealing.unwrap(written, written.slots[slot.index], slot.slot_key)
        stored.append(authenticate(data, written, data_key, slot))

    write_atomically(environment.files, environment.path, sealed, check=check)
    return stored[0]


def with_generation(header: Header, generation: int) -> Header:
    """Return the header with another generation number.

    Raises:
        GalleryError: the number is over 2^63 - 1.
    """
    if generation > MAX_GENERATION:
        raise GalleryError(
            f"generation {generation} is too high, a gallery has at most {MAX_GENERATION}",
            hint="check that the anchor belongs to this gallery; if it does, make a new gallery with a new anchor and enrol again",
        )
    return replace(header, generation=generation)


def is_current(environment: Environment, generation: Generation) -> bool:
    """Tell if the file still holds this generation; reads the header only."""
    head = read_head(environment.files, environment.path)
    return head[: len(generation.head)] == generation.head


def read(environment: Environment) -> tuple[bytes, int | None]:
    """Read the file and the anchor's generation, both under one lock.

    Without an anchor no lock is needed, because files are replaced by an atomic rename.
    """
    if isinstance(environment.anchor, NoAnchor):
        return read_gallery(environment.files, environment.path), None
    # A mistyped path fails here, before a lock file is created.
    read_head(environment.files, environment.path)
    with locked(environment.files, environment.path):
        file = read_gallery(environment.files, environment.path)
        return file, environment.anchor.read(parse_header(file).gallery_id)


def check_anchor(environment: Environment, generation: Generation, anchor_generation: int | None) -> None:
    """Compare an authenticated generation with the anchor; advance an anchor that is one generation behind.

    Raises:
        RollbackError: see `anchor.require_identity` and `anchor.must_advance`.
        GalleryError: the anchor cannot be read or advanced.
    """
    if anchor_lags(environment, generation, anchor_generation):
        with locked(environment.files, environment.path):
            advance_lagging(environment, generation.header)


def anchor_lags(environment: Environment, generation: Generation, anchor_generation: int | None) -> bool:
    """Compare an authenticated generation with the anchor.

    Returns:
        True if the anchor is one generation behind.

    Raises:
        RollbackError: see `anchor.require_identity` and `anchor.must_advance`.
    """
    header, sealed = generation.header, generation.content.record(ANCHOR_IDENTITY)
    if isinstance(environment.anchor, NoAnchor):
        return False
    if sealed is not None:
        require_identity(sealed, environment.anchor.identity(header.gallery_id))
    return must_advance(header.generation, anchor_generation)


def advance_lagging(environment: Environment, header: Header) -> None:
    """Advance an anchor that is one generation behind; the caller holds the lock.

    Raises:
        GalleryError: the folder cannot be synced, or the anchor cannot be advanced.
    """
    folder = environment.path.parent
    try:
        # The process that wrote this generation may have ended before it synced the folder.
        environment.files.fsync_directory(folder)
    except OSError as error:
        raise cannot("sync", folder, error) from error
    environment.anchor.advance(header.gallery_id, header.generation)


def unlock(header: Header, key: KeyProvider) -> tuple[OpenSlot, bytes]:
    """Return the first slot that the key opens, and the data key; every slot of the key's type is tried.

    Raises:
        SealError: the key opens no slot. If all slots are of other kinds, the hint lists those kinds.
        GalleryFormatError: a slot of the key's type is malformed, or the slots need too much work.
        GalleryError: the key's secret is not available for any slot.
    """
    slots = [(index, slot) for index, slot in enumerate(header.slots) if slot.type == key.slot_type]
    unavailable: list[GalleryError] = []
    for index, slot in slots:
        try:
            slot_key = slot_key_of(key, header, slot)
        except GalleryFormatError:
            raise
        except GalleryError as error:
            # Another slot may have the secret of another chip or machine.
            unavailable.append(error)
            continue
        with contextlib.suppress(SealError):
            return OpenSlot(index, slot_key), sealing.unwrap(header, slot, slot_key)
    if unavailable and len(unavailable) == len(slots):
        raise unavailable[0]
    refusal = sealing.seal_error()
    if not slots:
        kinds = ", ".join(dict.fromkeys(slot_kind(slot.type)[0] for slot in header.slots))
        refusal.hint = (
            f"according to its header the gallery is opened by: {kinds} (was it rotated?); found a {key.name}"
        )
    raise refusal


def authenticate(file: bytes, header: Header, data_key: bytes, slot: OpenSlot) -> Generation:
    """Decrypt and parse a file; check that its content holds the key of `slot`.

    Raises:
        SealError: the file was altered.
        GalleryFormatError: the content is malformed.
    """
    plaintext = sealing.open_body(file, data_key)
    content = parse_content(plaintext, header.template_type, header.dimension, version=header.version)
    keys = slot_keys_of(content)
    if len(keys) != len(header.slots) or not hmac.compare_digest(keys[slot.index], slot.slot_key):
        raise GalleryFormatError("the gallery's slot keys do not belong to its slots")
    names = content.record(KEY_NAMES)
    if names is not None and len(parse_key_names(names)) != len(header.slots):
        raise GalleryFormatError("the names of the gallery's keys do not belong to its slots")
    return Generation(pack_header(header), header, content, slot)


def slot_keys_of(content: Content) -> list[bytes]:
    """Return the key-encryption keys of the slots, in slot order."""
    keys = content.record(SLOT_KEYS) or b""
    size = sealing.KEY_BYTES
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _unlock_newer(header: Header, key: KeyProvider, current: Generation) -> tuple[OpenSlot, bytes]:
    """Unlock with the known slot key if the key epoch is unchanged, otherwise with the key itself."""
    slot = current.slot
    if header.key_epoch == current.header.key_epoch and slot.index < len(header.slots):
        return slot, sealing.unwrap(header, header.slots[slot.index], slot.slot_key)
    try:
        return unlock(header, key)
    except GalleryError as error:
        raise GalleryError(
            "the gallery's keys were changed, and this key no longer opens it",
            hint="open it again with the new key",
        ) from error
