"""The gallery as a program sees it: create, open, enrol, verify, identify, remove.

Answers carry a decision and a subject, never a score: 192 scores recover a usable template.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import time
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import (
    GalleryError,
    InputError,
    ModelMismatchError,
    RollbackError,
)
from edge_sdk.gallery import sealing, transform
from edge_sdk.gallery.anchor import Anchor, NoAnchor
from edge_sdk.gallery.comparison import best_scores, comparable_subjects, unit_rows
from edge_sdk.gallery.content import (
    REVOKED,
    SLOT_KEYS,
    Content,
    PolicyRecord,
    empty_content,
)
from edge_sdk.gallery.format import (
    ID_BYTES,
    MODEL_ID_BYTES,
    WRAPPED_BYTES,
    Header,
    Slot,
    Suite,
    TemplateType,
    Transform,
    pack_header,
    parse_header,
)
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.results import (
    Decision,
    GalleryStatus,
    Identification,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.sealed_file import Places, check_absent, commit, judge, open_content, read, unlock
from edge_sdk.gallery.storage import (
    FileSystem,
    PosixFileSystem,
    locked,
    read_head,
)
from edge_sdk.gallery.transaction import Transaction, seconds, unknown
from edge_sdk.types import Float64Array

_SUITES = {"aes-256-gcm": Suite.AES_256_GCM, "chacha20-poly1305": Suite.CHACHA20_POLY1305}
_TEMPLATE_TYPES = {"int8": TemplateType.INT8, "float16": TemplateType.FLOAT16}
_TRANSFORMS = {"shp3": Transform.SHP3, "none": Transform.NONE}


class Gallery:
    """An open gallery; from `Gallery.create` or `Gallery.open`.

    Example:
        gallery = Gallery.open("home.gallery", key=KeyFile("home.key"), model_id=model_id)
        answer = gallery.identify(embedding, threshold=0.62)

    Not for several threads at once. Another process's changes are seen after `refresh`.
    """

    def __init__(
        self,
        places: Places,
        head: bytes,
        content: Content,
        slot_index: int,
        slot_key: bytes,
        key: tuple[int, str],
    ) -> None:
        self._places = places
        self._slot_index = slot_index
        self._slot_key = slot_key
        self._key = key
        self._take(head, content)

    def __repr__(self) -> str:
        return f"Gallery({str(self._places.path)!r}, generation={self._header.generation})"

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        model_id: bytes,
        dimension: int,
        dtype: str = "int8",
        transform: str = "shp3",
        suite: str = "aes-256-gcm",
        anchor: Anchor | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
    ) -> Gallery:
        """Make an empty gallery; it is on the disk when this returns.

        Args:
            path: Where; must not exist.
            key: What seals it.
            model_id: 32 bytes, SHA-256 of the model file.
            dimension: Numbers per embedding, 1..65535.
            dtype: `int8` or `float16`.
            transform: `shp3` or `none`.
            suite: `aes-256-gcm`, or `chacha20-poly1305` for a CPU without AES instructions.
            anchor: Notices an old copy put back; none by default.
            filesystem: Seam for tests.
            random: Seam for test vectors.
            clock: Unix seconds.

        Raises:
            InputError: an argument is out of range.
            GalleryError: the path exists, cannot be written, or `cryptography` is not installed.
        """
        sealing.need_cryptography()
        if len(model_id) != MODEL_ID_BYTES:
            raise InputError(f"model_id has {len(model_id)} bytes, expected {MODEL_ID_BYTES} (a SHA-256)")
        if not 1 <= dimension <= 0xFFFF:
            raise InputError(f"dimension {dimension} is not in 1..65535")
        header = Header(
            suite=_choice("suite", suite, _SUITES),
            gallery_id=random(ID_BYTES),
            generation=1,
            key_epoch=1,
            model_id=bytes(model_id),
            dimension=dimension,
            template_type=_choice("dtype", dtype, _TEMPLATE_TYPES),
            transform=_choice("transform", transform, _TRANSFORMS),
            slots=(Slot(key.slot_type, key.new_parameters(random), bytes(WRAPPED_BYTES)),),
        )
        slot = header.slots[0]
        slot_key = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
        content = replace(
            empty_content(random(32), header.template_type, dimension),
            committed_at_s=int(clock()),
            policy=(PolicyRecord(SLOT_KEYS, critical=True, value=slot_key),),
        )
        places = Places(Path(path), filesystem or PosixFileSystem(), anchor or NoAnchor(), random, clock)
        with locked(places.files, places.path):
            check_absent(places)
            if places.anchor.read(header.gallery_id):
                raise GalleryError("the anchor is in use", hint="a new gallery needs a new anchor")
            head, content = commit(places, header, content, 0, slot_key)
        return cls(places, head, content, 0, slot_key, (key.level, key.name))

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        key: KeyProvider,
        model_id: bytes | None = None,
        anchor: Anchor | None = None,
        filesystem: FileSystem | None = None,
        random: Callable[[int], bytes] = os.urandom,
        clock: Callable[[], float] = time.time,
    ) -> Gallery:
        """Open a gallery and check everything there is to check.

        Args:
            path: The gallery file.
            key: One of the keys that seal it.
            model_id: The model that will make the embeddings; compared with the gallery's.
            anchor: The anchor it was created with.
            filesystem: Seam for tests.
            random: Seam for test vectors.
            clock: Unix seconds.

        Raises:
            GalleryFormatError: not a gallery of a known version, or cut short.
            SealError: wrong key, or altered.
            ModelMismatchError: made for another model.
            RollbackError: older than its anchor.
            GalleryError: missing, unreadable, a symbolic link, or `cryptography` is not installed.
        """
        sealing.need_cryptography()
        places = Places(Path(path), filesystem or PosixFileSystem(), anchor or NoAnchor(), random, clock)
        file, anchored = read(places)
        header = parse_header(file)
        index, slot_key, data_key = unlock(header, key)
        content = open_content(file, header, data_key, index, slot_key)
        if model_id is not None and model_id != header.model_id:
            raise ModelMismatchError(
                f"the gallery holds templates of model {header.model_id.hex()[:8]}, "
                f"the model in use is {model_id.hex()[:8]}",
                hint="use the gallery's model, or enrol again with this one",
            )
        judge(places, header, anchored)
        return cls(places, pack_header(header), content, index, slot_key, (key.level, key.name))

    def refresh(self) -> bool:
        """Take over what another process committed since; cheap when nothing changed.

        Returns:
            Whether anything changed.

        Raises:
            GalleryError: as `open`; also after a key rotation, when it must be opened again.
        """
        if self._on_disk():
            return False
        file, anchored = read(self._places)
        header = parse_header(file)
        index = self._slot_index
        if header.gallery_id != self._header.gallery_id:
            raise GalleryError(f"{self._places.path} is another gallery now", hint="open it again")
        if header.generation <= self._header.generation:
            raise RollbackError(
                f"the gallery went from generation {self._header.generation} to {header.generation}: an old copy was put back"
            )
        if header.key_epoch != self._header.key_epoch or index >= len(header.slots):
            raise GalleryError("the gallery's key was changed", hint="open it again with the new key")
        data_key = sealing.unwrap(header, header.slots[index], self._slot_key)
        content = open_content(file, header, data_key, index, self._slot_key)
        judge(self._places, header, anchored)
        self._take(pack_header(header), content)
        return True

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Gather changes and commit them as one when the block ends without an exception.

        Raises:
            GalleryError: changed by another process meanwhile, or a step of the commit failed; the
                file then holds the old content or the new, nothing between.
        """
        head = self._head
        transaction = Transaction(
            self._content,
            template_type=self._header.template_type,
            transform=self._to_template_space,
            random=self._places.random,
            now_s=int(self._places.clock()),
        )
        yield transaction
        if transaction.changed:
            self._commit(head, transaction.apply())

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        *,
        label: str = "",
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
    ) -> None:
        """Add one subject in a commit of its own; arguments and errors as `Transaction.enrol`."""
        with self.transaction() as t:
            t.enrol(subject, embeddings, label=label, valid_from=valid_from, valid_until=valid_until)

    def remove(self, subject: str) -> None:
        """Take one subject out in a commit of its own; errors as `Transaction.remove`."""
        with self.transaction() as t:
            t.remove(subject)

    def identify(
        self, embedding: NDArray[np.float32], *, threshold: float, now: float | datetime | None = None
    ) -> Identification:
        """Ask who a probe is (1:N).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            threshold: Cosine to reach, -1..1.
            now: Moment for validity times; the clock by default, never before the last commit.

        Returns:
            Accepted with the subject; or rejected: nobody reaches the threshold, or two subjects tie.

        Raises:
            InputError: embedding or threshold malformed.
        """
        probe, limit, comparable = self._ask(embedding, threshold, now)
        scores = best_scores(self._content, probe, comparable)
        if scores.size == 0:
            return Identification(Decision.REJECTED, None)
        best = int(np.argmax(scores))
        accepted = bool(scores[best] >= limit) and int((scores == scores[best]).sum()) == 1
        if not accepted:
            return Identification(Decision.REJECTED, None)
        return Identification(Decision.ACCEPTED, self._content.names[best])

    def verify(
        self,
        embedding: NDArray[np.float32],
        subject: str,
        *,
        threshold: float,
        now: float | datetime | None = None,
    ) -> Verification:
        """Ask whether a probe is one subject (1:1).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            subject: The name that is claimed.
            threshold: Cosine to reach, -1..1.
            now: As `identify`.

        Raises:
            InputError: embedding or threshold malformed.
            SubjectUnknownError: no such subject.
        """
        name = unicodedata.normalize("NFC", subject)
        index = self._index.get(name)
        if index is None:
            raise unknown(name)
        probe, limit, comparable = self._ask(embedding, threshold, now)
        claimed = np.zeros_like(comparable)
        claimed[index] = comparable[index]
        accepted = bool(best_scores(self._content, probe, claimed)[index] >= limit)
        return Verification(Decision.ACCEPTED if accepted else Decision.REJECTED, name)

    def subjects(self) -> tuple[Subject, ...]:
        """Everyone enrolled, in order of enrolment."""
        content = self._content
        counts = np.bincount(content.templates["subject"], minlength=len(content.subjects)).tolist()
        return tuple(
            Subject(
                name=name,
                label=label,
                templates=count,
                valid_from_s=int(row["valid_from"]),
                valid_until_s=int(row["valid_until"]),
                enrolled_at_s=int(row["enrolled_at"]),
                revoked=bool(row["flags"] & REVOKED),
                id=row["id"].tobytes().hex(),
            )
            for name, label, count, row in zip(
                content.names, content.labels, counts, content.subjects, strict=True
            )
        )

    def references(self) -> References:
        """The stored templates, for a matcher that works on `transform_probe`'s output."""
        return References(self._content.matrix, self._content.templates["subject"])

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Bring a probe to the space of `references`.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Returns:
            Shape (D,), float64, length 1.

        Raises:
            InputError: embedding malformed.
        """
        row = (
            embedding[np.newaxis] if isinstance(embedding, np.ndarray) and embedding.ndim == 1 else embedding
        )
        rows = unit_rows(row, self._header.dimension)
        if len(rows) != 1:
            raise InputError(
                f"expected one embedding of shape ({self._header.dimension},), found {embedding.shape}"
            )
        probe: Float64Array = self._to_template_space(rows)[0]
        return probe

    def status(self) -> GalleryStatus:
        """How strong and how full it is."""
        header, content = self._header, self._content
        return GalleryStatus(
            path=str(self._places.path),
            gallery_id=header.gallery_id.hex(),
            model_id=header.model_id.hex(),
            key_level=self._key[0],
            key_name=self._key[1],
            key_slots=len(header.slots),
            key_epoch=header.key_epoch,
            anchor=self._places.anchor.kind,
            generation=header.generation,
            suite=_name_of(_SUITES, header.suite),
            transform=_name_of(_TRANSFORMS, header.transform),
            dtype=_name_of(_TEMPLATE_TYPES, header.template_type),
            dimension=header.dimension,
            subjects=len(content.subjects),
            templates=len(content.templates),
        )

    def _take(self, head: bytes, content: Content) -> None:
        self._head = head
        self._header = parse_header(head)
        self._content = content
        self._index = {name: index for index, name in enumerate(content.names)}
        self._to_template_space: Callable[[Float64Array], Float64Array] = _unchanged
        if self._header.transform is Transform.SHP3:
            key = sealing.hkdf(content.root_secret, salt=self._header.gallery_id, info=transform.LABEL)
            self._to_template_space = transform.Shp3.from_key(key, self._header.dimension).apply

    def _on_disk(self) -> bool:
        return read_head(self._places.files, self._places.path)[: len(self._head)] == self._head

    def _commit(self, head: bytes, content: Content) -> None:
        header = replace(self._header, generation=self._header.generation + 1)
        with locked(self._places.files, self._places.path):
            if head != self._head or not self._on_disk():
                raise GalleryError(
                    f"{self._places.path} was changed by another process",
                    hint="refresh or open it again, then repeat",
                )
            head, content = commit(self._places, header, content, self._slot_index, self._slot_key)
        self._take(head, content)

    def _ask(
        self, embedding: NDArray[np.float32], threshold: float, now: float | datetime | None
    ) -> tuple[Float64Array, float, NDArray[np.bool_]]:
        if not (math.isfinite(threshold) and -1 <= threshold <= 1):
            raise InputError(f"threshold {threshold} is not a cosine in -1..1")
        content = self._content
        now_s = max(self._places.clock(), content.committed_at_s) if now is None else seconds(now)
        return self.transform_probe(embedding), float(threshold), comparable_subjects(content, now_s, REVOKED)


def _unchanged(rows: Float64Array) -> Float64Array:
    return rows


def _choice(what: str, name: str, choices: dict[str, Any]) -> Any:
    if name not in choices:
        raise InputError(f"expected {what} to be one of {', '.join(choices)}, found {name!r}")
    return choices[name]


def _name_of(choices: dict[str, Any], value: enum.Enum) -> str:
    return next(name for name, choice in choices.items() if choice is value)
