"""Signed commands of a back office that has no key of the gallery. Each is for one gallery and is executed once.

A command is one line `edge-sdk command 1 <source, 64 hex digits> <signature, 128 hex digits>`, a line feed, and a JSON
object. The signature is Ed25519 (RFC 8032) over a label, the source and the JSON's bytes. The source is the public key
of the back office. A gallery accepts commands only from sources that its owner added, and stores the last sequence number
of each source.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from typing import Any

from edge_sdk.errors import CommandRefusedError, InputError
from edge_sdk.gallery.exchange.export import check_export
from edge_sdk.gallery.format.content import MAX_SOURCES, SOURCE_REMOVED, Content
from edge_sdk.gallery.format.header import ID_BYTES

LABEL = b"edge-sdk/gallery/command@v1"
KEY_BYTES = 32
MAX_COMMAND_BYTES = 16 * 1024 * 1024
MAX_SEQUENCE = SOURCE_REMOVED - 1
ACTIONS = ("revoke", "reinstate", "erase", "enrol")
_FIELDS = {"gallery", "sequence", "action", "subject", "package"}
_HEAD = re.compile(rb"edge-sdk command 1 ([0-9a-f]{64}) ([0-9a-f]{128})\n")


@dataclass(frozen=True)
class Command:
    """One command of a source (a back office) to one gallery.

    Attributes:
        source: Public key of the back office, 32 bytes.
        gallery_id: Id of the gallery, 16 bytes.
        sequence: 1..2^63 - 1, greater than that of the source's previous command.
        action: `revoke`, `reinstate`, `erase` or `enrol`.
        subject: Name of the subject; empty for `enrol`.
        package: For `enrol`, an export sealed for the gallery (see `export`); otherwise empty.

    Raises:
        InputError: a value is out of range, or subject and package do not fit the action.
    """

    source: bytes
    gallery_id: bytes
    sequence: int
    action: str
    subject: str = ""
    package: bytes = b""

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InputError(f"expected one of the actions {', '.join(ACTIONS)}, found {self.action!r}")
        if not 1 <= self.sequence <= MAX_SEQUENCE:
            raise InputError(f"expected a sequence number in 1..2^63 - 1, found {self.sequence}")
        if len(self.source) != KEY_BYTES or len(self.gallery_id) != ID_BYTES:
            raise InputError(
                f"expected a source of {KEY_BYTES} bytes and a gallery id of {ID_BYTES},"
                f" found {len(self.source)} and {len(self.gallery_id)}"
            )
        if (self.action == "enrol") != bool(self.package) or (self.action == "enrol") == bool(self.subject):
            raise InputError(
                "expected a package and no subject for enrol, a subject and no package for other actions, found"
                f" subject {self.subject!r} and a package of {len(self.package)} bytes for {self.action}"
            )


def new_source() -> tuple[bytes, bytes]:
    """Generate the private and the public key of a command source, 32 bytes each (Ed25519, RFC 8032)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def source_of(private_key: bytes) -> bytes:
    """Return the public key of a back office's private key, 32 bytes each.

    Raises:
        InputError: the private key does not have 32 bytes.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(private_key) != KEY_BYTES:
        raise InputError(f"expected a private key of {KEY_BYTES} bytes, found {len(private_key)}")
    public: bytes = Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
    return public


def sign(command: Command, private_key: bytes) -> bytes:
    """Sign a command.

    Returns:
        The bytes of the command file.

    Raises:
        InputError: the private key is not that of the command's source, or the command is larger than 16 MiB.
        GalleryFormatError: the package is not an export.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if source_of(private_key) != command.source:
        raise InputError("the private key is not that of the command's source")
    if command.package:
        check_export(command.package)
    fields: dict[str, Any] = {
        "gallery": command.gallery_id.hex(),
        "sequence": command.sequence,
        "action": command.action,
    }
    if command.subject:
        fields["subject"] = command.subject
    if command.package:
        fields["package"] = base64.b64encode(command.package).decode()
    text = json.dumps(fields, ensure_ascii=False).encode()
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(LABEL + command.source + text)
    data = f"edge-sdk command 1 {command.source.hex()} {signature.hex()}\n".encode() + text
    if len(data) > MAX_COMMAND_BYTES:
        raise InputError(
            f"expected a command of at most {MAX_COMMAND_BYTES} bytes, found {len(data)}",
            hint="export fewer subjects at once",
        )
    return data


def verify(data: bytes, content: Content, *, gallery_id: bytes) -> Command:
    """Check a signed command and return it. The JSON is parsed only after the signature was verified.

    Args:
        data: The bytes of the command file.
        content: The gallery's content, with its sources and their last sequence numbers.
        gallery_id: The gallery's id, 16 bytes.

    Raises:
        CommandRefusedError: the data are not a signed command, the source is not accepted, the signature is wrong, the
            command is for another gallery, or its sequence number is not above that of the source's last command.
    """
    if len(data) > MAX_COMMAND_BYTES:
        raise CommandRefusedError(
            f"expected a command of at most {MAX_COMMAND_BYTES} bytes, found {len(data)}"
        )
    head = _HEAD.match(data)
    if head is None:
        raise CommandRefusedError(
            "expected a first line 'edge-sdk command 1' with 64 and 128 hexadecimal digits,"
            f" found {data[:40]!r}",
            hint="edge-sdk gallery sign writes a signed command",
        )
    source, text = bytes.fromhex(head[1].decode()), data[head.end() :]
    last = content.sources.get(source)
    if last is None:
        raise CommandRefusedError(
            f"the source {source.hex()[:16]} is not one that the gallery accepts",
            hint="the gallery's owner adds it with edge-sdk gallery sources --add",
        )
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(source).verify(
            bytes.fromhex(head[2].decode()), LABEL + source + text
        )
    except (InvalidSignature, ValueError) as error:
        raise CommandRefusedError("the command's signature is not valid") from error
    command = _parsed(text, source)
    if command.gallery_id != gallery_id:
        raise CommandRefusedError(
            f"expected a command for the gallery {gallery_id.hex()}, found one for the gallery {command.gallery_id.hex()}"
        )
    if command.sequence <= last:
        raise CommandRefusedError(
            f"command sequence {command.sequence} is not newer than {last}, the last one accepted from this source",
            hint="sign the command again with a greater sequence number",
        )
    return command


def with_source(content: Content, source: bytes) -> Content:
    """Return the content with a source added. A source that is added again keeps its last sequence number.

    Args:
        content: The gallery's content.
        source: Public key of the source, 32 bytes.

    Raises:
        InputError: the source is not a public key or is accepted already, or there are 256 sources, removed ones
            included.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(source)
    except ValueError as error:
        raise InputError(f"expected a public key of {KEY_BYTES} bytes, found {len(source)} bytes") from error
    if source in content.sources:
        raise InputError(f"the source {source.hex()[:16]} is added already")
    ever = dict(content.sequences)
    if source not in ever and len(ever) == MAX_SOURCES:
        raise InputError(f"expected at most {MAX_SOURCES} sources, removed ones included, found one more")
    return _with_sequences(content, {**ever, source: ever.get(source, 0) & MAX_SEQUENCE})


def without_source(content: Content, source: bytes) -> Content:
    """Return the content with a source removed; its last sequence number is kept.

    Args:
        content: The gallery's content.
        source: Public key of the source, 32 bytes.

    Raises:
        InputError: the source is not one that the gallery accepts.
    """
    last = content.sources.get(source)
    if last is None:
        raise InputError(
            f"the source {source.hex()[:16]} is not one that the gallery accepts",
            hint="edge-sdk gallery sources lists them",
        )
    return _with_sequences(content, {**dict(content.sequences), source: last | SOURCE_REMOVED})


def with_executed(content: Content, command: Command) -> Content:
    """Return the content with a command's sequence number stored, so that the command is refused from then on."""
    return _with_sequences(content, {**dict(content.sequences), command.source: command.sequence})


def _with_sequences(content: Content, sequences: dict[bytes, int]) -> Content:
    return replace(content, sequences=tuple(sorted(sequences.items())))


def _parsed(text: bytes, source: bytes) -> Command:
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or set(fields) - _FIELDS:
            raise ValueError(
                "expected a JSON object with gallery, sequence, action, subject and package only"
            )
        sequence, subject = fields["sequence"], fields.get("subject", "")
        if type(sequence) is not int or not isinstance(subject, str):
            raise ValueError("expected an integer as sequence number and a string as subject")
        return Command(
            source=source,
            gallery_id=bytes.fromhex(fields["gallery"]),
            sequence=sequence,
            action=fields["action"],
            subject=subject,
            package=base64.b64decode(fields.get("package", ""), validate=True),
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise CommandRefusedError(f"the command is signed but malformed: {error}") from error
