"""Commands of a back office that has no key of the gallery: signed, for one gallery, each obeyed once.

A command is one line `edge-sdk command 1 <source, 64 hex digits> <signature, 128>`, a line feed, and a JSON object.
Ed25519 (RFC 8032) over a label, the source and the JSON's bytes. The source is the public key itself; a
gallery obeys only sources that its owner added, and keeps the last sequence number of each sealed inside.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from edge_sdk.errors import CommandRefusedError, InputError
from edge_sdk.gallery.format.content import MAX_SOURCES, OBEYED_NO_MORE, Content
from edge_sdk.gallery.format.header import ID_BYTES

LABEL = b"edge-sdk/gallery/command@v1"
KEY_BYTES = 32
MAX_COMMAND_BYTES = 16 * 1024 * 1024
MAX_SEQUENCE = OBEYED_NO_MORE - 1
ACTIONS = ("revoke", "reinstate", "erase", "enrol")
_HEAD = re.compile(rb"edge-sdk command 1 ([0-9a-f]{64}) ([0-9a-f]{128})\n")


@dataclass(frozen=True)
class Command:
    """What a source asks for.

    Attributes:
        source: 32 bytes, the public key of who asks.
        gallery_id: 16 bytes, of whom it is asked.
        sequence: Higher than that of the source's command before.
        action: `revoke`, `reinstate`, `erase` or `enrol`.
        subject: Whom; empty for `enrol`.
        package: For `enrol`, an export sealed for the gallery (see `export`); else empty.
    """

    source: bytes
    gallery_id: bytes
    sequence: int
    action: str
    subject: str = ""
    package: bytes = b""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InputError(f"expected one of {', '.join(ACTIONS)}, found {self.action!r}")
        if not 1 <= self.sequence <= MAX_SEQUENCE:
            raise InputError(f"expected a sequence number in 1..2^63 - 1, found {self.sequence}")
        if len(self.source) != KEY_BYTES or len(self.gallery_id) != ID_BYTES:
            raise InputError("expected a source of 32 bytes and a gallery id of 16")
        if (self.action == "enrol") != bool(self.package) or (self.action == "enrol") == bool(self.subject):
            raise InputError(f"expected a package for enrol and a subject for all else, found {self.action}")


def new_source() -> tuple[bytes, bytes]:
    """A new back office's private and public key, 32 bytes each."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def source_of(private_key: bytes) -> bytes:
    """The public key of a back office's private key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(private_key) != KEY_BYTES:
        raise InputError(f"the source's private key has {len(private_key)} bytes, expected {KEY_BYTES}")
    public: bytes = Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
    return public


def sign(command: Command, private_key: bytes) -> bytes:
    """A command's bytes, signed.

    Raises:
        InputError: the private key is not that of the command's source.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if source_of(private_key) != command.source:
        raise InputError("the private key is not that of the command's source")
    asked: dict[str, Any] = {
        "gallery": command.gallery_id.hex(),
        "sequence": command.sequence,
        "action": command.action,
    }
    if command.subject:
        asked["subject"] = command.subject
    if command.package:
        asked["package"] = base64.b64encode(command.package).decode()
    text = json.dumps(asked, ensure_ascii=False).encode()
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(LABEL + command.source + text)
    return f"edge-sdk command 1 {command.source.hex()} {signature.hex()}\n".encode() + text


def verify(data: bytes, content: Content, *, gallery_id: bytes) -> Command:
    """The command in a file, where this gallery is to obey it; nothing is parsed before the signature holds.

    Args:
        data: The file.
        content: The gallery's content: its sources and what each said last.
        gallery_id: The gallery's id.

    Raises:
        CommandRefusedError: not a command, of an unknown source, altered, for another gallery, or not newer than
            the source's last one.
    """
    if len(data) > MAX_COMMAND_BYTES:
        raise CommandRefusedError(f"a command has at most {MAX_COMMAND_BYTES} bytes, found more")
    head = _HEAD.match(data)
    if head is None:
        raise CommandRefusedError("not a signed command")
    source, text = bytes.fromhex(head[1].decode()), data[head.end() :]
    last = content.sources.get(source)
    if last is None:
        raise CommandRefusedError(
            f"the gallery does not know the source {source.hex()[:16]}",
            hint="its owner adds it: gallery sources --add",
        )
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(source).verify(
            bytes.fromhex(head[2].decode()), LABEL + source + text
        )
    except (InvalidSignature, ValueError) as error:
        raise CommandRefusedError("the command's signature is wrong") from error
    command = _parsed(text, source)
    if command.gallery_id != gallery_id:
        raise CommandRefusedError(
            f"the command is for the gallery {command.gallery_id.hex()}, not for this one"
        )
    if command.sequence <= last:
        raise CommandRefusedError(
            f"the command has sequence {command.sequence}, the source's last one had {last}: it was obeyed or overtaken",
            hint="sign it again with a higher number",
        )
    return command


def with_source(content: Content, source: bytes) -> Content:
    """A content that knows one more source; one that was taken out goes on after what it said last.

    Raises:
        InputError: no public key, known already, or one too many.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(source)
    except ValueError as error:
        raise InputError("expected a source's public key of 32 bytes") from error
    if source in content.sources:
        raise InputError(f"the source {source.hex()[:16]} is known already")
    ever = dict(content.sequences)
    if source not in ever and len(ever) == MAX_SOURCES:
        raise InputError(f"{MAX_SOURCES} sources are or were known, more do not fit")
    return _with_sequences(content, {**ever, source: ever.get(source, 0) & MAX_SEQUENCE})


def without_source(content: Content, source: bytes) -> Content:
    """A content that obeys a source no more, and remembers what it said last.

    Raises:
        InputError: it is not known.
    """
    last = content.sources.get(source)
    if last is None:
        raise InputError(f"the source {source.hex()[:16]} is not known")
    return _with_sequences(content, {**dict(content.sequences), source: last | OBEYED_NO_MORE})


def having_obeyed(content: Content, command: Command) -> Content:
    """A content that will not obey a command again."""
    return _with_sequences(content, {**dict(content.sequences), command.source: command.sequence})


def _with_sequences(content: Content, sequences: dict[bytes, int]) -> Content:
    return replace(content, sequences=tuple(sorted(sequences.items())))


def _parsed(text: bytes, source: bytes) -> Command:
    try:
        asked = json.loads(text)
        if not isinstance(asked, dict) or set(asked) - {
            "gallery",
            "sequence",
            "action",
            "subject",
            "package",
        }:
            raise ValueError("unknown fields")
        sequence, subject = asked["sequence"], asked.get("subject", "")
        if type(sequence) is not int or not isinstance(subject, str):
            raise ValueError("a sequence number or subject of the wrong type")
        return Command(
            source=source,
            gallery_id=bytes.fromhex(asked["gallery"]),
            sequence=sequence,
            action=asked["action"],
            subject=subject,
            package=base64.b64decode(asked.get("package", ""), validate=True),
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise CommandRefusedError(f"the command is signed but malformed: {error}") from error
