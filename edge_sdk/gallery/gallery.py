"""The gallery as a program sees it: create, open, enrol, verify, identify, remove.

`Vault` keeps the file, `Recognition` answers probes; this is their one face. Not for several threads at once.
"""

from __future__ import annotations

import contextlib
import enum
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery import sealing
from edge_sdk.gallery.anchor import Anchor
from edge_sdk.gallery.attempts import LABEL as ATTEMPTS_LABEL
from edge_sdk.gallery.attempts import Moment, parse_limit
from edge_sdk.gallery.content import ATTEMPT_POLICY, REVOKED, SLOT_KEYS, PolicyRecord, empty_content
from edge_sdk.gallery.counter import AttemptCounter, moment_of_boot
from edge_sdk.gallery.format import (
    ID_BYTES,
    MODEL_ID_BYTES,
    WRAPPED_BYTES,
    Header,
    Slot,
    Suite,
    TemplateType,
    Transform,
)
from edge_sdk.gallery.keys import KeyProvider
from edge_sdk.gallery.recognition import Recognition
from edge_sdk.gallery.results import (
    AttemptStatus,
    Decision,
    GalleryStatus,
    Identification,
    Reason,
    References,
    Subject,
    Verification,
)
from edge_sdk.gallery.storage import FileSystem
from edge_sdk.gallery.transaction import Transaction, seconds
from edge_sdk.gallery.vault import Vault, places_of
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

    def __init__(self, vault: Vault, *, uptime: Callable[[], Moment] = moment_of_boot) -> None:
        self._vault = vault
        self._uptime = uptime
        self._counter: AttemptCounter | None = None
        self._take_over()

    def __repr__(self) -> str:
        return f"Gallery({str(self._vault.places.path)!r}, generation={self._vault.header.generation})"

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
        uptime: Callable[[], Moment] = moment_of_boot,
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
            uptime: Seam for tests: the time that waits are measured in.

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
        places = places_of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        return cls(Vault.create(places, key, header, content), uptime=uptime)

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
        uptime: Callable[[], Moment] = moment_of_boot,
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
            uptime: Seam for tests: the time that waits are measured in.

        Raises:
            GalleryFormatError: not a gallery of a known version, or cut short.
            SealError: wrong key, or altered.
            ModelMismatchError: made for another model.
            RollbackError: older than its anchor.
            GalleryError: missing, unreadable, a symbolic link, or `cryptography` is not installed.
        """
        sealing.need_cryptography()
        places = places_of(path, anchor=anchor, filesystem=filesystem, random=random, clock=clock)
        return cls(Vault.open(places, key, model_id=model_id), uptime=uptime)

    def refresh(self) -> bool:
        """Take over what another process committed since; cheap when nothing changed.

        Returns:
            Whether anything changed.

        Raises:
            GalleryError: as `open`; also after a key rotation, when it must be opened again.
        """
        changed = self._vault.refresh()
        if changed:
            self._take_over()
        return changed

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Gather changes and commit them as one when the block ends without an exception.

        Raises:
            GalleryError: changed by another process meanwhile, or a step of the commit failed; the
                file then holds the old content or the new, nothing between.
        """
        vault = self._vault
        before = vault.content
        transaction = Transaction(
            before,
            template_type=vault.header.template_type,
            transform=self._recognition.to_template_space,
            random=vault.places.random,
            now_s=int(vault.places.clock()),
            checks=self._recognition.enrolment_checks(),
        )
        yield transaction
        if transaction.changed:
            vault.commit(before, transaction.apply())
            self._take_over()
            if self._counter is not None and vault.content.record(ATTEMPT_POLICY) != before.record(
                ATTEMPT_POLICY
            ):
                self._counter.restart()

    def enrol(
        self,
        subject: str,
        embeddings: NDArray[np.float32],
        *,
        label: str = "",
        valid_from: float | datetime | None = None,
        valid_until: float | datetime | None = None,
        allow_duplicate: bool = False,
    ) -> None:
        """Add one subject in a commit of its own; arguments and errors as `Transaction.enrol`."""
        with self.transaction() as t:
            t.enrol(
                subject,
                embeddings,
                label=label,
                valid_from=valid_from,
                valid_until=valid_until,
                allow_duplicate=allow_duplicate,
            )

    def remove(self, subject: str) -> None:
        """Take one subject out in a commit of its own; errors as `Transaction.remove`."""
        with self.transaction() as t:
            t.remove(subject)

    def identify(
        self,
        embedding: NDArray[np.float32],
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Identification:
        """Ask who a probe is (1:N).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            threshold: Cosine to reach, -1..1; by default what the gallery's decision policy says.
            now: Moment for validity times; the clock by default, never before the last commit.

        Returns:
            Accepted with the subject; rejected: nobody reaches the threshold, or two subjects tie; retry: close to
            the threshold or to another subject, as the policy says; locked out: too many failures.

        Raises:
            InputError: embedding or threshold malformed, or there is neither a threshold nor a policy.
            ModelCardError: the policy's evidence does not reach so many templates.
            GalleryError: the try could not be counted, so it was not made.
        """
        probe = self._recognition.probe(embedding)
        limit = self._recognition.limit(threshold)
        now_s = self._moment(now)
        number = self._begin_attempt()
        if isinstance(number, Reason):
            return Identification(Decision.LOCKED_OUT, None, number)
        answer = self._recognition.identify(probe, limit=limit, now_s=now_s)
        self._end_attempt(number, accepted=answer.accepted)
        return answer

    def verify(
        self,
        embedding: NDArray[np.float32],
        subject: str,
        *,
        threshold: float | None = None,
        now: float | datetime | None = None,
    ) -> Verification:
        """Ask whether a probe is one subject (1:1).

        Args:
            embedding: Shape (D,), float32, finite, any length.
            subject: The name that is claimed.
            threshold: As `identify`; the policy's is for as many templates as the subject has.
            now: As `identify`.

        Raises:
            SubjectUnknownError: no such subject; not counted as a try.
            InputError, ModelCardError, GalleryError: as `identify`.
        """
        name = self._recognition.known(subject)
        probe = self._recognition.probe(embedding)
        limit = self._recognition.limit(threshold, subject=name)
        now_s = self._moment(now)
        number = self._begin_attempt()
        if isinstance(number, Reason):
            return Verification(Decision.LOCKED_OUT, name, number)
        answer = self._recognition.verify(probe, name, limit=limit, now_s=now_s)
        self._end_attempt(number, accepted=answer.accepted)
        return answer

    def reset_attempts(self) -> None:
        """Begin the count of failures anew, as an administrator, in a commit of its own.

        Raises:
            GalleryError: failures are not counted here, or the commit failed.
        """
        if self._counter is None:
            raise GalleryError("this gallery counts no failures", hint="edge-sdk gallery policy sets a limit")
        with self.transaction() as t:
            t.limit_attempts(self._counter.policy)

    def attempts(self) -> AttemptStatus | None:
        """Where the count of failures stands; None where tries are not limited."""
        return None if self._counter is None else self._counter.status()

    def subjects(self) -> tuple[Subject, ...]:
        """Everyone enrolled, in order of enrolment."""
        content = self._vault.content
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
        return self._recognition.references()

    def transform_probe(self, embedding: NDArray[np.float32]) -> Float64Array:
        """Bring a probe to the space of `references`.

        Args:
            embedding: Shape (D,), float32, finite, any length.

        Returns:
            Shape (D,), float64, length 1.

        Raises:
            InputError: embedding malformed.
        """
        return self._recognition.transform_probe(embedding)

    def status(self) -> GalleryStatus:
        """How strong and how full it is."""
        vault = self._vault
        header, content = vault.header, vault.content
        return GalleryStatus(
            path=str(vault.places.path),
            gallery_id=header.gallery_id.hex(),
            model_id=header.model_id.hex(),
            key_level=vault.key.level,
            key_name=vault.key.name,
            key_slots=len(header.slots),
            key_epoch=header.key_epoch,
            anchor=vault.places.anchor.kind,
            generation=header.generation,
            suite=_name_of(_SUITES, header.suite),
            transform=_name_of(_TRANSFORMS, header.transform),
            dtype=_name_of(_TEMPLATE_TYPES, header.template_type),
            dimension=header.dimension,
            subjects=len(content.subjects),
            templates=len(content.templates),
        )

    def _take_over(self) -> None:
        """Prepare what depends on the content; a counter that goes on keeps what it has seen."""
        vault = self._vault
        self._recognition = Recognition(vault.header, vault.content)
        record = vault.content.record(ATTEMPT_POLICY)
        if record is None:
            self._counter = None
            return
        limit, count_id = parse_limit(record)
        if self._counter is not None and self._counter.count_id == count_id:
            return
        self._counter = AttemptCounter(
            vault.places.files,
            vault.places.path,
            limit,
            key=sealing.hkdf(vault.content.root_secret, salt=vault.header.gallery_id, info=ATTEMPTS_LABEL),
            gallery_id=vault.header.gallery_id,
            count_id=count_id,
            now=self._uptime,
        )

    def _begin_attempt(self) -> int | Reason:
        if self._counter is None:
            return 0
        begun = self._counter.begin()
        # An administrator in another process may have begun the count anew.
        if begun is Reason.COUNTER and self.refresh():
            return self._begin_attempt()
        return begun

    def _end_attempt(self, number: int, *, accepted: bool) -> None:
        if self._counter is not None and accepted:
            self._counter.succeed(number)

    def _moment(self, now: float | datetime | None) -> float:
        if now is None:
            return max(self._vault.places.clock(), self._vault.content.committed_at_s)
        return seconds(now)


def _choice(what: str, name: str, choices: dict[str, Any]) -> Any:
    if name not in choices:
        raise InputError(f"expected {what} to be one of {', '.join(choices)}, found {name!r}")
    return choices[name]


def _name_of(choices: dict[str, Any], value: enum.Enum) -> str:
    return next(name for name, choice in choices.items() if choice is value)
