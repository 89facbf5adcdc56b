"""Deployable model file: a FlatBuffer network with its model card in an appended ZIP archive.

The layout is that of TFLite Metadata: the network, then a ZIP archive with the associated files. Any TFLite
runtime loads such a file, and the metadata readers of Android and iOS find the card.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, MAX_CARD_BYTES, ModelCard
from edge_sdk.model.hashed_bytes import HashedBytes
from edge_sdk.model.model_id import ModelId
from edge_sdk.model.zip_archive import ZipLimitError, open_zip, read_member

MAX_MODEL_BYTES = 512 << 20
_IDENTIFIER = b"TFL3"
_MAX_MEMBERS = 64
# A fixed time stamp, so that the same network and card give the same bytes.
_TIME_STAMP = (1980, 1, 1, 0, 0, 0)
_MAX_DIRECTORY_BYTES = 64 << 10


@dataclass(frozen=True)
class ModelFile:
    """Complete content of a model file, with its digest checked and its card parsed; the network is not parsed.

    Args:
        data: Content of the file, as an interpreter takes it.
        sha256: SHA-256 of the whole file, hex.
        card: The model card.
    """

    data: bytes
    sha256: str
    card: ModelCard

    @property
    def model_id(self) -> ModelId:
        """SHA-256 of the whole file, 32 bytes, with the id of the embedding space, to which galleries are bound."""
        return ModelId.of(bytes.fromhex(self.sha256), self.card)

    def sha256_without_evidence(self) -> str:
        """Return the SHA-256 that this file had before evidence was written to its card, hex.

        The network is the same and the card has no operating points, no probability and no distribution of scores, as
        `edge-convert convert` writes it. If a file with that digest existed, it computed the same embeddings.
        """
        network, _ = split(self.data)
        card = replace(self.card, operating_points=(), probability={}, non_mated_scores=None)
        return hashlib.sha256(bundle(network, card.to_bytes())).hexdigest()

    @classmethod
    def open(cls, path: str | Path, *, sha256: str | None = None) -> ModelFile:
        """Read a model file.

        Args:
            path: A .tflite file.
            sha256: Expected digest, hex; checked before anything is parsed. None skips the check.

        Raises:
            ModelError: The file is missing, unreadable, too large or not a .tflite, or its digest differs.
            ModelCardError: The file has no model card, or a malformed one.
        """
        return cls._of(read_carded(path, sha256=sha256))

    @classmethod
    def parse(cls, data: bytes, name: str) -> ModelFile:
        """Read the content of a model file that is in memory.

        Args:
            data: The content.
            name: Name of the file, for messages.

        Raises:
            ModelError: It is not a .tflite, or the network does not match its card.
            ModelCardError: It has no model card, or a malformed one.
        """
        return cls._of(parse_carded(HashedBytes(data), name))

    @classmethod
    def _of(cls, file: CardedFile) -> ModelFile:
        card = ModelCard.from_bytes(file.card)
        file.check_network(card.network_sha256)
        return cls(file.content.data, file.content.sha256, card)


@dataclass(frozen=True)
class CardedFile:
    """Complete content of a file with a card of any kind; neither the network nor the card is parsed.

    Args:
        path: Path of the file, for messages.
        content: Content of the file.
        card: Bytes of the card.
        archive_start: Length of the network in bytes; the archive follows it.
    """

    path: str | Path
    content: HashedBytes
    card: bytes
    archive_start: int

    def check_network(self, sha256: str) -> None:
        """Check the network against the digest in its card; raises ModelError if they differ."""
        network = self.content.sha256_of_start(self.archive_start)
        if network != sha256:
            raise ModelError(
                f"{self.path}: the network does not match its card (SHA-256 {network[:12]}..., card has {sha256[:12]}...)",
                hint="the file is damaged or was edited; copy it again or convert again",
            )


def read_carded(path: str | Path, *, sha256: str | None = None) -> CardedFile:
    """Read a file with a card.

    Args:
        path: A .tflite file.
        sha256: Expected digest, hex; checked before anything is parsed. None skips the check.

    Raises:
        ModelError: The file is missing, unreadable, too large or not a .tflite, or its digest differs.
        ModelCardError: The file has no card, or more than one.
    """
    return parse_carded(HashedBytes(read_model_bytes(path)), path, sha256=sha256)


def parse_carded(content: HashedBytes, path: str | Path, *, sha256: str | None = None) -> CardedFile:
    """Read the content of a file with a card; arguments and errors as `read_carded`."""
    digest = content.sha256
    if sha256 is not None and digest != sha256.strip().lower():
        raise ModelError(
            f"{path}: expected SHA-256 {sha256.strip().lower()}, found {digest}",
            hint="the file was changed or is a different one: copy it again from the machine that converted it; if a"
            " gallery pins another detector or liveness network on purpose, edge-sdk gallery pin-networks stores the new one",
        )
    check_identifier(content.data, path)
    archive_start, card = _read_card_bytes(content.data, path)
    return CardedFile(path, content, card, archive_start)


def read_model_bytes(path: str | Path) -> bytes:
    """Read a model file of at most 512 MiB; raises ModelError if that is not possible."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise ModelError(f"{path}: expected a .tflite file, found {kind}")
        if size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: expected at most {MAX_MODEL_BYTES >> 20} MiB, found {size >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the path
        raise ModelError(f"{path}: cannot be read: {error}") from error
    if not data:
        raise ModelError(f"{path}: the file is empty", hint="copy it again")
    return data


def check_identifier(data: bytes, path: str | Path) -> None:
    """Check the file identifier of a .tflite; raises ModelError for any other file."""
    if data[4:8] != _IDENTIFIER:
        raise ModelError(
            f"{path}: expected a .tflite (file identifier {_IDENTIFIER.decode()}), found {data[:8]!r}",
            hint="convert a Keras, SavedModel, ONNX or float .tflite model with edge-convert",
        )


def bundle(network: bytes, card: bytes) -> bytes:
    """Append a card to a network; the same arguments give the same bytes."""
    archive = io.BytesIO(network)
    archive.seek(0, io.SEEK_END)
    # Stored, not compressed: Android's reader maps associated files straight from the model's memory.
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as members:
        members.writestr(zipfile.ZipInfo(CARD_NAME, _TIME_STAMP), card)
    return archive.getvalue()


def split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split a model file into its network and its associated files.

    Returns:
        The FlatBuffer part, and the archive's members by name; no members if there is no archive.

    Raises:
        ModelCardError: The archive cannot be read.
    """
    archive = _open_archive(data, "")
    if archive is None:
        return data, {}
    with archive:
        members = {info.filename: _read_member(archive, info) for info in archive.infolist()}
        return data[: _archive_start(archive)], members


def _open_archive(data: bytes, prefix: str) -> zipfile.ZipFile | None:
    try:
        return open_zip(io.BytesIO(data), max_members=_MAX_MEMBERS, max_directory_bytes=_MAX_DIRECTORY_BYTES)
    except ZipLimitError as error:
        raise ModelCardError(f"{prefix}the archive with the model card is damaged: {error}") from error
    except (zipfile.BadZipFile, OSError):
        return None


def _archive_start(archive: zipfile.ZipFile) -> int:
    return min((info.header_offset for info in archive.infolist()), default=archive.start_dir)


def _read_card_bytes(data: bytes, path: str | Path) -> tuple[int, bytes]:
    hint = "convert the model with edge-convert convert, which writes a card into every file"
    archive = _open_archive(data, f"{path}: ")
    if archive is None:
        raise ModelCardError(f"{path}: expected a model card inside, found none", hint=hint)
    with archive:
        cards = [info for info in archive.infolist() if info.filename == CARD_NAME]
        if len(cards) != 1:
            raise ModelCardError(f"{path}: expected one {CARD_NAME} inside, found {len(cards)}", hint=hint)
        return _archive_start(archive), _read_member(archive, cards[0], f"{path}: ")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, prefix: str = "") -> bytes:
    name = "the model card" if info.filename == CARD_NAME else f"associated file {info.filename!r}"
    try:
        return read_member(archive, info, max_bytes=MAX_CARD_BYTES)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelCardError(f"{prefix}{name} is damaged: {error}", hint="copy the file again") from error
