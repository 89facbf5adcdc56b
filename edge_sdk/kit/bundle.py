"""Archive of a kit: write it, and read it with every size and digest checked before a byte is used."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import ModelError
from edge_sdk.kit.manifest import (
    MANIFEST_NAME,
    MAX_KIT_BYTES,
    MAX_MEMBER_BYTES,
    MAX_MEMBERS,
    KitManifest,
    KitMember,
)
from edge_sdk.model.card import MAX_CARD_BYTES
from edge_sdk.model.zip_archive import open_zip, read_member

# A fixed time stamp, so that equal files give equal bytes.
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)
_MAX_DIRECTORY_BYTES = 64 << 10
_CHUNK = 1 << 16
_COPY_AGAIN = "the file is damaged or was changed: copy it again, or build it again with edge-convert kit"


@dataclass(frozen=True)
class KitFile:
    """A kit on disk, whose members were compared with its manifest when it was opened.

    Args:
        path: Path of the kit.
        manifest: Contents of the kit.
        sha256: SHA-256 of the file, hex, as `sha256sum` prints it.
    """

    path: Path
    manifest: KitManifest
    sha256: str

    @classmethod
    def open(cls, path: str | Path) -> KitFile:
        """Open a kit and check the size and SHA-256 of every member; no network is parsed.

        At most one member, of at most 128 MiB, is in memory at a time.

        Args:
            path: A file that `write_kit` wrote.

        Raises:
            ModelError: The file is missing, unreadable, too large or not a kit; a member is missing, not listed, listed
                with another size or digest, compressed, or occurs twice.
            ModelCardError: The manifest is malformed.
        """
        path = Path(path)
        with _opened(path) as archive:
            stored = _read(path, archive, _single(path, archive, MANIFEST_NAME), MAX_CARD_BYTES)
            manifest = KitManifest.from_bytes(stored)
            listed = {MANIFEST_NAME, *(member.file for member in manifest.members)}
            for info in archive.infolist():
                if info.orig_filename not in listed:
                    raise ModelError(
                        f"{path}: expected only files that its manifest lists, found {info.orig_filename[:100]!r}",
                        hint=_COPY_AGAIN,
                    )
            kit = cls(path, manifest, _digest(path))
            for member in manifest.members:
                kit._read_checked(archive, member)
        return kit

    def read(self, member: KitMember) -> bytes:
        """Read one member; its size and SHA-256 are checked again, because the file may have changed since `open`.

        Args:
            member: One of `manifest.members`.

        Raises:
            ModelError: The file cannot be read, or the member is not the listed one any more.
        """
        with _opened(self.path) as archive:
            return self._read_checked(archive, member)

    def _read_checked(self, archive: zipfile.ZipFile, member: KitMember) -> bytes:
        info = _single(self.path, archive, member.file)
        if info.file_size != member.size_bytes:
            raise ModelError(
                f"{self.path}, {member.file}: expected {member.size_bytes} bytes, found {info.file_size}",
                hint=_COPY_AGAIN,
            )
        content = _read(self.path, archive, info, MAX_MEMBER_BYTES)
        digest = hashlib.sha256(content).hexdigest()
        if digest != member.sha256:
            raise ModelError(
                f"{self.path}, {member.file}: expected SHA-256 {member.sha256[:12]}..., found {digest[:12]}...",
                hint=_COPY_AGAIN,
            )
        return content


def write_kit(path: str | Path, manifest: KitManifest, files: Mapping[str, bytes]) -> KitFile:
    """Write a kit; equal arguments give equal bytes. The file appears completely or not at all.

    Args:
        path: The file to write; an existing file is replaced.
        manifest: Contents of the kit.
        files: Content of each member by its file name.

    Returns:
        The kit, opened and checked as `KitFile.open` does.

    Raises:
        ModelError: The files are not those that the manifest lists, the kit is too large, or it cannot be written.
    """
    path = Path(path)
    _check_files(manifest, files)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as members:
        members.writestr(_entry(MANIFEST_NAME), manifest.to_bytes())
        for member in manifest.members:
            members.writestr(_entry(member.file), files[member.file])
    content = archive.getvalue()
    if len(content) > MAX_KIT_BYTES:
        raise ModelError(
            f"{path}: expected a kit of at most {MAX_KIT_BYTES >> 20} MiB, found {len(content) >> 20} MiB"
        )
    try:
        _write_atomically(path, content)
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror or error}") from error
    return KitFile.open(path)


def _check_files(manifest: KitManifest, files: Mapping[str, bytes]) -> None:
    listed = {member.file for member in manifest.members}
    if listed != set(files):
        raise ModelError(
            f"kit: expected the files {', '.join(sorted(listed))}, found {', '.join(sorted(files)) or 'none'}"
        )
    for member in manifest.members:
        content = files[member.file]
        if (len(content), hashlib.sha256(content).hexdigest()) != (member.size_bytes, member.sha256):
            raise ModelError(
                f"kit, {member.file}: expected the content that the manifest lists, found another"
            )


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _TIME_STAMP)
    entry.external_attr = 0o644 << 16
    entry.create_system = 3  # Unix, on every system
    return entry


def _write_atomically(path: Path, content: bytes) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        if not path.is_file():
            kind = "no file" if not path.exists() else "a folder or a device"
            raise ModelError(f"{path}: expected a kit (.edgekit), found {kind}")
        size = path.stat().st_size
        if size > MAX_KIT_BYTES:
            raise ModelError(
                f"{path}: expected a kit of at most {MAX_KIT_BYTES >> 20} MiB, found {size >> 20} MiB"
            )
        return open_zip(path, max_members=MAX_MEMBERS + 1, max_directory_bytes=_MAX_DIRECTORY_BYTES)
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path}: expected a kit (.edgekit): {error}", hint=_COPY_AGAIN) from error
    except (OSError, ValueError) as error:
        text = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: cannot be read: {text}") from error


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _single(path: Path, archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """Return the only entry with a name; raises ModelError if there is none, or more than one."""
    entries = [info for info in archive.infolist() if info.orig_filename == name]
    if len(entries) != 1:
        raise ModelError(f"{path}: expected {name} once, found it {len(entries)} times", hint=_COPY_AGAIN)
    return entries[0]


def _read(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    if info.compress_type != zipfile.ZIP_STORED:
        raise ModelError(
            f"{path}, {info.filename}: expected no compression, found method {info.compress_type}"
        )
    try:
        return read_member(archive, info, max_bytes=max_bytes)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f"{path}, {info.filename}: cannot be read: {error}", hint=_COPY_AGAIN) from error
