"""`gallery.migration`: change the model of a gallery without another visit of its subjects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.errors import GalleryError, InputError, ModelMismatchError
from edge_sdk.gallery.captures.files import kept_of, read_kept, read_parts, require_captures, write_kept
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.gallery.captures.recrop import recropped
from edge_sdk.gallery.captures.sealed import digest_of, open_part
from edge_sdk.gallery.format.captures_record import KeptRecord
from edge_sdk.gallery.format.content import (
    CAPTURES,
    DECISION_POLICY,
    EVIDENCE,
    KEPT_GENERATION,
    LOOKS,
    MODEL_FILE,
    OWN_THRESHOLDS,
    POLICY_EVIDENCE,
    Content,
    ids_of,
)
from edge_sdk.gallery.format.header import ModelKind
from edge_sdk.gallery.format.looks import Look, parse_looks
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import unit_rows
from edge_sdk.gallery.migration.kept import without_kept
from edge_sdk.gallery.migration.rebuild import NewModel, NewTemplates, listed, looks_not_kept, rebuilt
from edge_sdk.gallery.migration.results import MigrationResult, PendingMigration
from edge_sdk.gallery.migration.space_map import SpaceMap
from edge_sdk.gallery.migration.undo import looks_from_captures, restored, with_current_policy
from edge_sdk.gallery.rules.names import normalized
from edge_sdk.gallery.rules.thresholds import stored_policy
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_events import changes
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.subjects import unknown_subject
from edge_sdk.model.array_contract import image_contract
from edge_sdk.types import Float64Array

if TYPE_CHECKING:
    from edge_sdk.vision.embedder import Embedder

_FROM_CAPTURES, _BY_MAP = 1, 2
METHODS = {_FROM_CAPTURES: "captures", _BY_MAP: "map"}
# Records that belong to the model: an undone change takes them from the kept generation.
_OF_THE_MODEL = dict.fromkeys(
    (DECISION_POLICY, OWN_THRESHOLDS, EVIDENCE, MODEL_FILE, POLICY_EVIDENCE), True
) | {KEPT_GENERATION: False}


class Migration:
    """Changes the model of an open gallery; each step is one commit, recorded in the audit log."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pending(self) -> PendingMigration | None:
        """Return the change that is neither confirmed nor undone; None if there is none."""
        kept = kept_of(self._session.content)
        if kept is None:
            return None
        return PendingMigration(
            kept.generation, kept.model_id.hex(), METHODS[kept.method], len(kept.left_out)
        )

    def with_captures(
        self,
        embedder: Embedder,
        key: CapturesKey,
        *,
        leave_out: Sequence[str] = (),
        allow_duplicates: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> MigrationResult:
        """Make templates of another model from the stored captures.

        The generation before is kept beside the gallery until `confirm` or `undo`.

        Args:
            embedder: The new model.
            key: Private key of the captures.
            leave_out: Names of subjects that the gallery does not keep, such as those without captures.
            allow_duplicates: Accept subjects that look like one another to the new model.
            progress: Called with the number of subjects done and in total.

        Raises:
            GalleryError: a subject has no captures and is not left out; captures are missing, altered or sealed for
                another key; the new network needs other crops; captures are not alike; a change is not confirmed yet.
            SubjectExistsError: two subjects look alike to the new model.
            ModelCardError: the new card's evidence does not cover this gallery.
            ModelMismatchError: the gallery has this model already.
        """

        def templates(content: Content, left_out: frozenset[str]) -> NewTemplates:
            made = self._embedded(content, embedder, key, left_out, progress)
            return replace(made, allow_duplicates=allow_duplicates)

        return self._change(embedder, templates, leave_out, _FROM_CAPTURES)

    def with_map(
        self,
        embedder: Embedder,
        space_map: SpaceMap,
        *,
        leave_out: Sequence[str] = (),
        allow_duplicates: bool = False,
    ) -> MigrationResult:
        """Map the stored templates to the embedding space of another model.

        Args:
            embedder: The new model.
            space_map: The map, from `edge-convert map`.
            leave_out: See `with_captures`.
            allow_duplicates: See `with_captures`.

        Raises:
            InputError: the measured loss of the map is too large; the message contains the figures.
            ModelMismatchError: the map is of other models.
            GalleryError, SubjectExistsError, ModelCardError: see `with_captures`.
        """
        space_map.require_usable()

        def templates(content: Content, left_out: frozenset[str]) -> NewTemplates:
            self._require_map(space_map, embedder)
            header = self._session.header
            owners = content.templates["subject"].astype(np.int64)
            stays = np.array([content.names[owner] not in left_out for owner in owners], dtype=bool)
            rows = content.matrix[stays].astype(np.float64) * content.scales[stays, np.newaxis]
            rotation = rotation_of(header, content)
            mapped = space_map.apply(rows if rotation is None else rotation.invert(rows))
            order = np.argsort(owners[stays], kind="stable")
            looks = parse_looks(content.record(LOOKS) or b"")
            return NewTemplates(mapped[order], owners[stays][order], looks, allow_duplicates)

        return self._change(embedder, templates, leave_out, _BY_MAP)

    def confirm(self) -> None:
        """Keep the new model for good and remove the generation before.

        Raises:
            GalleryError: no change of the model waits for confirmation.
        """

        def step() -> None:
            session = self._session
            session.refresh()
            before = session.content
            self._require_kept(before)
            after = replace(without_kept(before), committed_at_s=session.now_s())
            session.commit(before, after, events=[AuditEvent("confirm-model")])

        self._session.retry(step)

    def undo(self) -> None:
        """Return to the templates, policy and model of the kept generation, as a new generation.

        Revocations, validity, names, removals of subjects and looks, and a new FPIR since the change are kept. Pictures that were added
        since are removed, because they have no templates of the earlier model.

        Raises:
            GalleryError: no change waits for confirmation, the kept generation is missing or was altered, or subjects
                were enrolled since.
        """

        def step() -> None:
            session = self._session
            session.refresh()
            before = session.content
            kept = self._require_kept(before)
            data = read_kept(session.environment.files, session.environment.path, kept)
            if data is None:
                raise GalleryError(
                    "the generation before the change of the model is missing or was altered",
                    hint="confirm the change with edge-sdk gallery migrate --confirm",
                )
            copy = session.open_copy(data)
            header = replace(
                session.header,
                model_kind=copy.header.model_kind,
                model_id=copy.header.model_id,
                dimension=copy.header.dimension,
                template_type=copy.header.template_type,
            )
            kept_looks = looks_from_captures(copy.content) if kept.method == _FROM_CAPTURES else None
            after = restored(before, copy.content, kept.left_out, _OF_THE_MODEL, kept_looks=kept_looks)
            after = with_current_policy(
                header,
                after,
                stored_policy(before.record),
                random=session.environment.random,
                now_s=session.now_s(),
            )
            after = replace(after, committed_at_s=session.now_s())
            events = [e for e in changes(before, after) if e.event != "policy"]
            detail = f"generation={kept.generation},space={header.model_id.hex()}"
            session.commit(
                before, after, header=header, events=[AuditEvent("undo-model", detail=detail), *events]
            )
            session.model = None

        self._session.retry(step)

    def _change(
        self,
        embedder: Embedder,
        templates: Callable[[Content, frozenset[str]], NewTemplates],
        leave_out: Sequence[str],
        method: int,
    ) -> MigrationResult:
        session = self._session
        results: list[MigrationResult] = []

        def step() -> None:
            session.refresh()
            before, header = session.content, session.header
            self._require_other_model(embedder)
            left_out = _known(before, leave_out)
            made = templates(before, left_out)
            data = session.read_file()
            files, path = session.environment.files, session.environment.path
            ids = dict(zip(before.names, ids_of(before.subjects), strict=True))
            kept = KeptRecord(
                header.generation,
                digest_of(data),
                header.model_id,
                int(header.model_kind),
                method,
                tuple(ids[name] for name in before.names if name in left_out),
            )
            new_header, after = rebuilt(
                header,
                before,
                NewModel(embedder.model_id, embedder.card),
                made,
                kept,
                random=session.environment.random,
                now_s=session.now_s(),
            )
            events = [e for e in changes(before, after) if e.event != "policy"]
            detail = (
                f"method={METHODS[method]},subjects={len(after.subjects)},left-out={len(left_out)},"
                f"space={new_header.model_id.hex()}"
            )
            session.commit(
                before,
                after,
                header=new_header,
                events=[AuditEvent("change-model", detail=detail), *events],
                prepare=lambda: write_kept(files, path, data),
            )
            session.model = embedder.model_id
            results.append(
                MigrationResult(
                    METHODS[method],
                    len(after.subjects),
                    len(after.templates),
                    tuple(name for name in before.names if name in left_out),
                    looks_not_kept(before, after, with_captures=False),
                    looks_not_kept(before, after, with_captures=True),
                    session.header.generation,
                )
            )

        session.retry(step)
        return results[-1]

    def _embedded(
        self,
        content: Content,
        embedder: Embedder,
        key: CapturesKey,
        left_out: frozenset[str],
        progress: Callable[[int, int], None] | None,
    ) -> NewTemplates:
        """Embed the captures of all subjects that are not left out."""
        session = self._session
        if content.record(CAPTURES) is None:
            raise GalleryError(
                "no captures are stored in this gallery",
                hint="change the templates by a map (--map FILE, made by edge-convert map), or enrol everybody again in a new"
                " gallery",
            )
        record = require_captures(content)
        subjects = list(enumerate(zip(content.names, ids_of(content.subjects), strict=True)))
        without = [n for _, (n, subject) in subjects if n not in left_out and not record.of(subject)]
        if without:
            options = " ".join(f"--leave-out {name}" for name in without[:5])
            raise GalleryError(
                f"no captures are stored of {listed(without)}",
                hint=f"remove them from the gallery with {options}, and enrol them again afterwards",
            )
        rows: list[Float64Array] = []
        owners: list[int] = []
        looks: list[Look] = []
        kept_looks = looks_from_captures(content)
        old_looks = {
            look.id: look for look in parse_looks(content.record(LOOKS) or b"") if look.id in kept_looks
        }
        for index, (name, subject) in subjects:
            if name in left_out:
                continue
            parts = read_parts(session.environment.files, session.environment.path, record, subject)
            if parts is None:
                raise GalleryError(
                    f"the captures of {name!r} are missing, incomplete or altered",
                    hint=f"put the file back, or leave {name!r} out with --leave-out",
                )
            stored = record.of(subject)
            looks += [
                replace(old_looks[entry.look], templates=entry.captures)
                for entry in stored
                if entry.look in old_looks
            ]
            for part in parts:
                crops = open_part(part, key, gallery=session.header.gallery_id, subject=subject)
                with _naming(name):
                    faces = recropped(crops, image_contract(embedder.card.input))
                embedded = np.stack([embedder.embed(face) for face in faces])
                rows.append(unit_rows(embedded, embedder.dimension))
                owners += [index] * len(faces)
            if progress is not None:
                progress(index + 1, len(subjects))
        if not rows:
            return NewTemplates(np.empty((0, embedder.dimension)), np.empty(0, np.int64))
        return NewTemplates(np.concatenate(rows), np.array(owners, np.int64), tuple(looks))

    def _require_other_model(self, embedder: Embedder) -> None:
        header, model = self._session.header, embedder.model_id
        if kept_of(self._session.content) is not None:
            raise GalleryError(
                "an earlier change of the model is not confirmed",
                hint="confirm it with edge-sdk gallery migrate --confirm, or undo it with --undo",
            )
        own = model.space if header.model_kind is ModelKind.SPACE else bytes(model)
        if header.model_id == own:
            raise ModelMismatchError(
                "the gallery holds templates of this model already",
                hint="new thresholds of the same network are stored with edge-sdk gallery policy",
            )

    def _require_map(self, space_map: SpaceMap, embedder: Embedder) -> None:
        header = self._session.header
        source = space_map.source_space if header.model_kind is ModelKind.SPACE else space_map.source_file
        if header.model_id != source:
            raise ModelMismatchError(
                f"the map is for templates of model {source.hex()[:8]}, the gallery holds templates of"
                f" {header.model_id.hex()[:8]}",
                hint="make a map from the gallery's model with edge-convert map",
            )
        if embedder.model_id.space != space_map.target_space:
            raise ModelMismatchError(
                f"the map leads to model {space_map.target_space.hex()[:8]}, the new model is"
                f" {embedder.model_id.space.hex()[:8]}",
                hint="give the model file that the map was made for",
            )

    def _require_kept(self, content: Content) -> KeptRecord:
        kept = kept_of(content)
        if kept is None:
            raise GalleryError(
                "no change of the model waits for confirmation",
                hint="edge-sdk gallery migrate --model FILE changes the model",
            )
        return kept


def _known(content: Content, names: Sequence[str]) -> frozenset[str]:
    known = [normalized(name) for name in names]
    for name in known:
        if name not in content.names:
            raise unknown_subject(name)
    if len(known) != len(set(known)):
        raise InputError("expected different names to leave out, found one twice")
    return frozenset(known)


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Name the subject in an error about its captures."""
    try:
        yield
    except GalleryError as error:
        raise GalleryError(f"{name!r}: {error}", hint=error.hint) from error
