"""One file is the deployable: a FlatBuffer network with its model card in the appended ZIP.

The layout is TFLite Metadata's: the network first, then a ZIP archive with the associated files, so
that any TFLite runtime loads the file as it is and Android's and iOS's readers find the card.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, MAX_CARD_BYTES, ModelCard

MAX_MODEL_BYTES = 512 << 20
_IDENTIFIER = b"TFL3"
_MAX_MEMBERS = 64
# Only what every Python and every phone reads; the card itself is stored uncompressed.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class ModelFile:
    """A model file read whole, its digest checked, its card parsed; the network is not parsed.

    Args:
        data: The whole file, as an interpreter takes it.
        sha256: Of the whole file, hex. It names the embedding space: templates made by one model file
            are never compared with another's.
        card: The model card.
    """

    data: bytes
    sha256: str
    card: ModelCard

    @property
    def model_id(self) -> bytes:
        """SHA-256 of the whole file, 32 bytes, as a gallery's header keeps it."""
        return bytes.fromhex(self.sha256)

    @classmethod
    def open(cls, path: str | Path, *, sha256: str | None = None) -> ModelFile:
        """Read a model file.

        Args:
            path: The .tflite.
            sha256: The digest it must have, hex; checked before anything is parsed.

        Raises:
            ModelError: Missing, unreadable, too large, not a .tflite, or another digest.
            ModelCardError: No model card inside, or a malformed one.
        """
        file = read_carded(path, sha256=sha256)
        card = ModelCard.from_bytes(file.card)
        file.check_network(card.network_sha256)
        return cls(file.data, file.sha256, card)


@dataclass(frozen=True)
class CardedFile:
    """A file with a card of any kind, read whole, neither its network nor its card parsed.

    Args:
        path: Where it came from, for messages.
        data: The whole file.
        sha256: Of the whole file, hex.
        card: The card's bytes.
        archive_start: Where the network ends.
    """

    path: str | Path
    data: bytes
    sha256: str
    card: bytes
    archive_start: int

    def check_network(self, sha256: str) -> None:
        """Refuse a network that is not the one its card was written for; raises ModelError."""
        network = hashlib.sha256(memoryview(self.data)[: self.archive_start]).hexdigest()
        if network != sha256:
            raise ModelError(
                f"{self.path}: the network is not the one its card was written for (SHA-256 {network[:12]}...,"
                f" card says {sha256[:12]}...)",
                hint="the file is damaged or was edited; copy it again or convert again",
            )


def read_carded(path: str | Path, *, sha256: str | None = None) -> CardedFile:
    """Read a file with a card; the digest, where one is given, is checked before anything is parsed.

    Raises:
        ModelError: Missing, unreadable, too large, not a .tflite, or another digest.
        ModelCardError: No card inside, or more than one.
    """
    data = read_model_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256.strip().lower():
        raise ModelError(
            f"{path}: expected SHA-256 {sha256.strip().lower()}, found {digest}",
            hint="the file was changed or is another one; copy it again from where it was converted",
        )
    check_identifier(data, path)
    archive_start, card = _read_card_bytes(data, path)
    return CardedFile(path, data, digest, card, archive_start)


def read_model_bytes(path: str | Path) -> bytes:
    """Read a model file's bytes, bounded; raises ModelError where that is not possible."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            found = "a folder" if path.is_dir() else "a device or a pipe"
            raise ModelError(f"{path}: expected a .tflite file, found {found}")
        if size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: expected at most {MAX_MODEL_BYTES >> 20} MiB, found {size >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise ModelError(f"{path}: the file is empty", hint="copy it again")
    return data


def check_identifier(data: bytes, path: str | Path) -> None:
    """Refuse what is not a .tflite by its file identifier."""
    if data[4:8] != _IDENTIFIER:
        raise ModelError(
            f"{path}: expected a .tflite (file identifier {_IDENTIFIER.decode()}), found {data[:8]!r}",
            hint="edge-convert makes one from Keras, SavedModel, ONNX or a float .tflite",
        )


def split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split a model file into its network and its associated files.

    Returns:
        The FlatBuffer part, and the archive's members by name; none where there is no archive.

    Raises:
        ModelCardError: There is an archive and it cannot be read.
    """
    archive = _open_archive(data)
    if archive is None:
        return data, {}
    with archive:
        members = {info.filename: _read_member(archive, info) for info in archive.infolist()[:_MAX_MEMBERS]}
        return data[: _archive_start(archive)], members


def _open_archive(data: bytes) -> zipfile.ZipFile | None:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return None


def _archive_start(archive: zipfile.ZipFile) -> int:
    return min((info.header_offset for info in archive.infolist()), default=archive.start_dir)


def _read_card_bytes(data: bytes, path: str | Path) -> tuple[int, bytes]:
    hint = "edge-convert convert writes a card into every file it makes"
    archive = _open_archive(data)
    if archive is None:
        raise ModelCardError(f"{path}: expected a model card inside, found none", hint=hint)
    with archive:
        found = [info for info in archive.infolist() if info.filename == CARD_NAME]
        if len(found) != 1:
            raise ModelCardError(f"{path}: expected one {CARD_NAME} inside, found {len(found)}", hint=hint)
        return _archive_start(archive), _read_member(archive, found[0], f"{path}: ")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str = "") -> bytes:
    name = "the model card" if info.filename == CARD_NAME else f"associated file {info.filename!r}"
    if info.file_size > MAX_CARD_BYTES:
        raise ModelCardError(f"{where}{name} is over {MAX_CARD_BYTES} bytes")
    if info.compress_type not in _COMPRESSIONS:
        raise ModelCardError(f"{where}{name} is damaged: unknown compression {info.compress_type}")
    try:
        return archive.read(info)
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelCardError(f"{where}{name} is damaged: {error}", hint="copy the file again") from error
