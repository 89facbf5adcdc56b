"""`gallery.captures`: sealed captures of enrolments, from which another network makes templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.captures.files import captures_of, check_name, require_captures
from edge_sdk.gallery.format.captures_record import CapturesRecord, pack_captures
from edge_sdk.gallery.format.content import CAPTURES, Content, PolicyRecord
from edge_sdk.gallery.format.hpke import KEY_BYTES
from edge_sdk.gallery.key_epoch import with_record
from edge_sdk.gallery.session import Session


@dataclass(frozen=True)
class CapturesStatus:
    """The captures that a gallery stores.

    Attributes:
        recipient: Public key for which captures are sealed, hex; None if captures are off.
        subjects: Names of the subjects with stored captures, and the number of captures of each.
        without: Names of the subjects without.
    """

    recipient: str | None
    subjects: tuple[tuple[str, int], ...]
    without: tuple[str, ...]


class Captures:
    """Switches the storage of captures on and off. Each change is a separate commit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def status(self) -> CapturesStatus:
        """Return whose captures are stored."""
        content = self._session.content
        record = captures_of(content)
        counts: dict[bytes, int] = {}
        for part in () if record is None else record.parts:
            counts[part.subject] = counts.get(part.subject, 0) + part.captures
        ids = [subject.tobytes() for subject in content.subjects["id"]]
        pairs = list(zip(content.names, ids, strict=True))
        return CapturesStatus(
            None if record is None else record.recipient.hex(),
            tuple((name, counts[subject]) for name, subject in pairs if subject in counts),
            tuple(name for name, subject in pairs if subject not in counts),
        )

    def require_on(self) -> None:
        """Check that captures can be stored, before somebody poses.

        Raises:
            GalleryError: captures are off.
        """
        require_captures(self._session.content)

    def switch_on(self, recipient: bytes) -> None:
        """Allow enrolments to store captures, sealed for a public key.

        Args:
            recipient: X25519 public key, 32 bytes (`captures.keys.read_recipient`). Whoever has the private key and the
                files sees the faces, so keep it away from the device.

        Raises:
            InputError: the recipient is not a public key, or the gallery's name is too long for captures files.
            GalleryError: captures are stored for another key, or `cryptography` lacks HPKE.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

        if not isinstance(recipient, bytes) or len(recipient) != KEY_BYTES:
            raise InputError(f"expected a public key of {KEY_BYTES} bytes, found {recipient!r:.80}")
        try:
            # A point of low order gives the same secret with every key.
            X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(recipient))
        except ValueError as error:
            raise InputError("expected an X25519 public key, found another value") from error
        check_name(self._session.environment.path)

        def amend(content: Content) -> Content:
            record = captures_of(content)
            if record is not None and record.recipient == recipient:
                return content
            if record is not None and record.parts:
                raise GalleryError(
                    f"captures are stored for the key {record.recipient.hex()[:8]}, which cannot be exchanged: only its"
                    " private key opens them",
                    hint="remove them first with edge-sdk gallery captures --off",
                )
            value = pack_captures(CapturesRecord(recipient))
            return with_record(content, PolicyRecord(CAPTURES, critical=False, value=value))

        self._commit(amend)

    def switch_off(self) -> None:
        """Remove all stored captures and store no further ones; do nothing if captures are off."""

        def amend(content: Content) -> Content:
            if content.record(CAPTURES) is None:
                return content
            return replace(content, policy=tuple(r for r in content.policy if r.kind != CAPTURES))

        self._commit(amend)

    def remove(self, subject: str) -> None:
        """Remove the captures of one subject, who stays enrolled.

        Raises:
            SubjectUnknownError: the subject is not enrolled.
            GalleryError: the gallery does not store captures.
        """
        require_captures(self._session.content)
        self._session.change(lambda transaction: transaction.remove_captures(subject))

    def _commit(self, amend: Callable[[Content], Content]) -> None:
        session = self._session

        def step() -> None:
            session.refresh()
            before = session.content
            after = amend(before)
            if after is not before:
                session.commit(before, replace(after, committed_at_s=session.now_s()))

        session.retry(step)
