"""Signed commands of a back office that has no key of the gallery. Each is for one gallery and is executed once.

A command is one line `edge-sdk command 2 <source, 64 hex digits> <signature, 128 hex digits>`, a line feed, and a JSON
object. The signature is Ed25519 (RFC 8032) over a label, the source and the JSON's bytes. The source is the public key
of the back office. A gallery accepts commands only from sources that its owner added, and stores the last sequence number
of each source. A command expires, and it names the state of the gallery for which it was signed: a command that was
withheld is refused if its subject has been changed since then (see `history`).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from edge_sdk.errors import CommandRefusedError, InputError
from edge_sdk.gallery.exchange.export import check_export
from edge_sdk.gallery.exchange.history import LOCAL, State, changes_since, history_of, is_known
from edge_sdk.gallery.format.content import MAX_SEQUENCE, Content, ids_of
from edge_sdk.gallery.format.header import ID_BYTES
from edge_sdk.gallery.format.records import STATE_BYTES, SubjectChange
from edge_sdk.gallery.rules.known_time import KnownTime, format_duration

LABEL = b"edge-sdk/gallery/command@v2"
KEY_BYTES = 32
MAX_COMMAND_BYTES = 16 * 1024 * 1024
ACTIONS = ("revoke", "reinstate", "erase", "enrol")
# Commands for this many generations after the one that they were signed for are executed, if the source sets no other limit.
GENERATIONS = 500
LIFETIME_S = 7 * 86_400
MAX_LIFETIME_S = 90 * 86_400
_MAX_NUMBER = (1 << 63) - 1
_FIELDS = {"gallery", "sequence", "action", "subject", "package", "expires", "generations", "state"}
_HEAD = re.compile(rb"edge-sdk command 2 ([0-9a-f]{64}) ([0-9a-f]{128})\n")
_HEAD_OF_VERSION_1 = b"edge-sdk command 1 "
_SIGN_AGAIN = "read the gallery's state again (edge-sdk gallery status --json on its device), and sign the command again"


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
        state: State of the gallery for which the command was signed (`GalleryStatus.state`).
        last_generation: Last generation of the gallery that may execute the command.
        expires_s: The command is refused from this time on, Unix seconds.

    Raises:
        InputError: a value is out of range, or subject and package do not fit the action.
    """

    source: bytes
    gallery_id: bytes
    sequence: int
    action: str
    subject: str = ""
    package: bytes = b""
    state: State = field(kw_only=True)
    last_generation: int = field(kw_only=True)
    expires_s: int = field(kw_only=True)

    @classmethod
    def for_state(
        cls,
        state: str,
        *,
        now_s: float,
        lifetime_s: float = LIFETIME_S,
        last_generation: int | None = None,
        **fields: Any,
    ) -> Command:
        """Create a command for a state of a gallery.

        ```python
        command = Command.for_state(
            status.state, now_s=time.time(), source=public_key, gallery_id=gallery_id, sequence=7, action="revoke", subject="ann"
        )
        ```

        Args:
            state: The gallery's state, `GalleryStatus.state`.
            now_s: Time of the back office, Unix seconds.
            lifetime_s: Time until the command expires, 1 second to 90 days; 7 days by default.
            last_generation: Last generation that may execute it; by default 500 after that of the state.
            fields: The other fields of the command.

        Raises:
            InputError: the state is malformed, or a value is out of range.
        """
        if not 1 <= lifetime_s <= MAX_LIFETIME_S:
            raise InputError(
                f"expected a lifetime of 1 second to {MAX_LIFETIME_S // 86_400} days, found {lifetime_s / 86_400:.10g} days"
            )
        parsed = State.parse(state)
        last = parsed.generation + GENERATIONS if last_generation is None else last_generation
        return cls(state=parsed, last_generation=last, expires_s=int(now_s + lifetime_s), **fields)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise InputError(f"expected one of the actions {', '.join(ACTIONS)}, found {self.action!r}")
        if not 1 <= self.sequence <= MAX_SEQUENCE:
            raise InputError(f"expected a sequence number in 1..2^63 - 1, found {self.sequence}")
        if not 1 <= self.state.generation <= self.last_generation <= _MAX_NUMBER:
            raise InputError(
                f"expected generations from 1 to 2^63 - 1 in order, found {self.state.generation} to {self.last_generation}"
            )
        if not 1 <= self.expires_s <= _MAX_NUMBER:
            raise InputError(f"expected an expiry in 1..2^63 - 1 Unix seconds, found {self.expires_s}")
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
        "expires": command.expires_s,
        "generations": [command.state.generation, command.last_generation],
        "state": command.state.digest.hex(),
    }
    if command.subject:
        fields["subject"] = command.subject
    if command.package:
        fields["package"] = base64.b64encode(command.package).decode()
    text = json.dumps(fields, ensure_ascii=False).encode()
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(LABEL + command.source + text)
    data = f"edge-sdk command 2 {command.source.hex()} {signature.hex()}\n".encode() + text
    if len(data) > MAX_COMMAND_BYTES:
        raise InputError(
            f"expected a command of at most {MAX_COMMAND_BYTES} bytes, found {len(data)}",
            hint="export fewer subjects at once",
        )
    return data


def verify(data: bytes, content: Content, *, gallery_id: bytes, state: State, time: KnownTime) -> Command:
    """Check a signed command and return it. The JSON is parsed only after the signature was verified.

    Args:
        data: The bytes of the command file.
        content: The gallery's content, with its sources and its command history.
        gallery_id: The gallery's id, 16 bytes.
        state: The gallery's state.
        time: The gallery's time, which never goes back.

    Raises:
        CommandRefusedError: the data are not a signed command, the source is not accepted, the signature is wrong, the
            command is for another gallery, its sequence number is not above that of the source's last command, it has
            expired, it was signed for a state that the gallery has left too far behind or never had, or its subject was
            changed since. An enrolment or reinstatement is also refused if the clock is behind the gallery's time.
    """
    source, text = _authenticated(data, content)
    command = _parsed(text, source)
    if command.gallery_id != gallery_id:
        raise CommandRefusedError(
            f"expected a command for the gallery {gallery_id.hex()}, found one for the gallery {command.gallery_id.hex()}"
        )
    last = content.sources[source]
    if command.sequence <= last:
        raise CommandRefusedError(
            f"command sequence {command.sequence} is not newer than {last}, the last one accepted from this source",
            hint="sign the command again with a greater sequence number",
        )
    _check_time(command, time)
    _check_state(command, content, state)
    _check_changes(command, content)
    return command


def _authenticated(data: bytes, content: Content) -> tuple[bytes, bytes]:
    """Return the source and the JSON of a command with a valid signature of an accepted source."""
    if len(data) > MAX_COMMAND_BYTES:
        raise CommandRefusedError(
            f"expected a command of at most {MAX_COMMAND_BYTES} bytes, found {len(data)}"
        )
    if data.startswith(_HEAD_OF_VERSION_1):
        raise CommandRefusedError(
            "expected 'edge-sdk command 2', found a command of version 1, which does not expire",
            hint="sign it again with edge-sdk 0.3 or newer",
        )
    head = _HEAD.match(data)
    if head is None:
        raise CommandRefusedError(
            "expected a first line 'edge-sdk command 2' with 64 and 128 hexadecimal digits,"
            f" found {data[:40]!r}",
            hint="edge-sdk gallery sign writes a signed command",
        )
    source, text = bytes.fromhex(head[1].decode()), data[head.end() :]
    if source not in content.sources:
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
    return source, text


def _check_time(command: Command, time: KnownTime) -> None:
    """Check that the command has not expired; with a wrong clock, execute only commands that keep somebody out."""
    if time.now_s >= command.expires_s:
        raise CommandRefusedError(
            f"the command expired at {command.expires_s} s, the gallery's time is {int(time.now_s)} s (Unix time)",
            hint=_SIGN_AGAIN,
        )
    if time.behind_s and command.action in ("enrol", "reinstate"):
        raise CommandRefusedError(
            f"the clock is {format_duration(time.behind_s)} behind the gallery, so the command may have expired",
            hint="set the clock; commands that revoke or erase are executed in any case",
        )


def _check_state(command: Command, content: Content, state: State) -> None:
    """Check that the gallery had the command's state, and has not left it too far behind."""
    signed_for, current = command.state.generation, state.generation
    if signed_for > current:
        raise CommandRefusedError(
            f"the command was signed for generation {signed_for}, and the gallery is at generation {current}",
            hint=f"check whether an old copy of the gallery was put in place; otherwise {_SIGN_AGAIN}",
        )
    if current > command.last_generation:
        raise CommandRefusedError(
            f"the command may be executed up to generation {command.last_generation}, and the gallery is at generation {current}",
            hint=_SIGN_AGAIN,
        )
    first = history_of(content, current).first
    if signed_for < first:
        raise CommandRefusedError(
            f"the command was signed for generation {signed_for}, and the gallery executes commands for generation {first}"
            " or later: a back office was added, the gallery was re-anchored or its clock reset, or it has changed often",
            hint=_SIGN_AGAIN,
        )
    if not is_known(command.state, state, content):
        raise CommandRefusedError(
            f"the command was signed for another state of generation {signed_for} than the gallery had",
            hint=f"check where the back office got the state from; {_SIGN_AGAIN}",
        )


def _check_changes(command: Command, content: Content) -> None:
    """Check that nobody but the command's source has changed its subject since the command's state.

    An enrolment has no subject yet, so it is refused if any subject was removed or restricted.
    """
    changes = list(changes_since(content, command.state, command.source))
    if command.action == "enrol":
        changes = [change for change in changes if change.restricts]
        what = "a subject was removed, revoked or restricted"
    else:
        name = unicodedata.normalize("NFC", command.subject)
        ids = dict(zip(content.names, ids_of(content.subjects), strict=True))
        changes = [change for change in changes if change.subject == ids.get(name)]
        what = f"{command.subject!r} was changed"
    if changes:
        raise CommandRefusedError(
            f"{what} in generation {changes[0].generation} {_by(changes[0])}, and the command was signed before,"
            f" for generation {command.state.generation}",
            hint=f"see what was changed with edge-sdk gallery audit; if the command is still right, {_SIGN_AGAIN}",
        )


def _by(change: SubjectChange) -> str:
    return (
        "on the device"
        if change.source == LOCAL
        else f"by a command of the source {change.source.hex()[:16]}"
    )


def _parsed(text: bytes, source: bytes) -> Command:
    try:
        fields = json.loads(text)
        if not isinstance(fields, dict) or set(fields) - _FIELDS:
            raise ValueError(f"expected a JSON object with {', '.join(sorted(_FIELDS))} only")
        sequence, subject = fields["sequence"], fields.get("subject", "")
        first, last = fields["generations"]
        if any(type(number) is not int for number in (sequence, first, last, fields["expires"])):
            raise ValueError("expected integers as sequence number, generations and expiry")
        digest = bytes.fromhex(fields["state"])
        if not isinstance(subject, str) or len(digest) != STATE_BYTES:
            raise ValueError(f"expected a string as subject and a state of {STATE_BYTES} bytes")
        return Command(
            source=source,
            gallery_id=bytes.fromhex(fields["gallery"]),
            sequence=sequence,
            action=fields["action"],
            subject=subject,
            package=base64.b64decode(fields.get("package", ""), validate=True),
            state=State(first, digest),
            last_generation=last,
            expires_s=fields["expires"],
        )
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise CommandRefusedError(f"the command is signed but malformed: {error}") from error
