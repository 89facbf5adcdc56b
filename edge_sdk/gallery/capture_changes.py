"""The captures that a transaction stores or removes: their sealed bytes, and the record of their digests; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.captures.files import require_captures
from edge_sdk.gallery.captures.sealed import digest_of, seal_part
from edge_sdk.gallery.format.captures_record import NO_LOOK, StoredPart, pack_captures, parse_captures
from edge_sdk.gallery.format.content import CAPTURES, Content
from edge_sdk.gallery.setting_changes import SettingChanges


class CaptureChanges(SettingChanges):
    """Seals new captures at once; the commit writes them beside the gallery.

    Args:
        content: The content before the changes.
        random: Returns n random bytes.
        now_s: Time of the changes, Unix seconds.
        gallery_id: Id of the gallery, 16 bytes, to which captures are bound.
    """

    def __init__(
        self, content: Content, random: Callable[[int], bytes], *, now_s: int, gallery_id: bytes
    ) -> None:
        super().__init__(content, random)
        self._now_s = now_s
        self._gallery_id = gallery_id
        self._captures: dict[str, list[tuple[bytes, bytes]]] = {}

    @property
    def captures(self) -> tuple[tuple[bytes, bytes], ...]:
        """Sealed captures to write beside the gallery after the commit: subject id and bytes."""
        return tuple(part for parts in self._captures.values() for part in parts)

    def _store_captures(
        self, name: str, subject_id: bytes, crops: Crops, enrolled_by: bytes, *, look: bytes = NO_LOOK
    ) -> None:
        """Seal crops, and add their digest to the record.

        Raises:
            GalleryError: the gallery does not store captures, or has as many as it can have.
        """
        record = require_captures(replace(self._content, policy=tuple(self._policy.values())))
        stored = replace(crops, stored_at_s=self._now_s, enrolled_by=enrolled_by)
        part = seal_part(stored, gallery=self._gallery_id, subject=subject_id, recipient=record.recipient)
        entry = StoredPart(subject_id, look, digest_of(part), self._now_s, len(crops.pixels))
        value = self._record(CAPTURES) or b""
        self._set_record(CAPTURES, pack_captures(parse_captures(value).adding(entry)), critical=False)
        self._captures.setdefault(name, []).append((subject_id, part))

    def _forget_captures(self, name: str, subject_id: bytes, *, look: bytes | None = None) -> None:
        """Remove the captures of a subject from the record, or those of one look."""
        if look is None:
            self._captures.pop(name, None)
        value = self._record(CAPTURES)
        if value is not None:
            record = parse_captures(value)
            kept = tuple(p for p in record.parts if p.subject != subject_id or look not in (None, p.look))
            self._set_record(CAPTURES, pack_captures(replace(record, parts=kept)), critical=False)
