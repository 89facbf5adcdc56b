"""Create a gallery: check the arguments, and build and write the first generation."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.content import (
    AUDIT_ANSWERS,
    AUDIT_POLICY,
    PINNED_NETWORKS,
    SLOT_KEYS,
    Content,
    PolicyRecord,
    empty_content,
)
from edge_sdk.gallery.format.header import (
    ID_BYTES,
    Header,
    ModelKind,
    Suite,
    TemplateType,
    Transform,
)
from edge_sdk.gallery.format.model_binding import checked_model_id, with_model
from edge_sdk.gallery.keys import ErasableKey, KeyProvider
from edge_sdk.gallery.keys.provider import new_slot, slot_key_of
from edge_sdk.gallery.rules.pinned_networks import PinnedNetworks, pack_networks
from edge_sdk.gallery.store.anchor import with_anchor
from edge_sdk.gallery.store.audit_log import AuditEvent
from edge_sdk.gallery.store.audit_segments import LogSeal
from edge_sdk.gallery.store.audit_writer import AuditLog
from edge_sdk.gallery.store.files import audit_path, lock_path, locked
from edge_sdk.gallery.store.sealed_file import (
    Environment,
    Generation,
    OpenSlot,
    slot_keys_of,
    with_generation,
    write_generation,
)
from edge_sdk.model.model_id import ModelId

SUITES = {"aes-256-gcm": Suite.AES_256_GCM, "chacha20-poly1305": Suite.CHACHA20_POLY1305}
TEMPLATE_TYPES = {"int8": TemplateType.INT8, "float16": TemplateType.FLOAT16}
TRANSFORMS = {"shp3": Transform.SHP3, "none": Transform.NONE}
MODEL_KINDS = {"model file": ModelKind.FILE, "embedding space": ModelKind.SPACE}
AUDITS = {"all": AUDIT_ANSWERS, "changes": b"", "off": None}


def first_generation(
    key: KeyProvider,
    *,
    path: Path,
    model_id: bytes,
    dimension: int,
    dtype: str,
    transform: str,
    suite: str,
    audit: str,
    networks: PinnedNetworks | None,
    random: Callable[[int], bytes],
    now_s: int,
) -> tuple[Header, Content]:
    """Build the header and content of an empty gallery; see `Gallery.create` for arguments and errors."""
    model_id = checked_model_id(model_id)
    if type(dimension) is not int or not 1 <= dimension <= 0xFFFF:
        raise InputError(f"expected a dimension that is an integer in 1..65535, found {dimension!r}")
    audit_policy = _choice("audit", audit, AUDITS)
    header = Header(
        suite=_choice("suite", suite, SUITES),
        gallery_id=random(ID_BYTES),
        generation=1,
        key_epoch=1,
        model_id=model_id.space if isinstance(model_id, ModelId) else model_id,
        dimension=dimension,
        template_type=_choice("dtype", dtype, TEMPLATE_TYPES),
        transform=_choice("transform", transform, TRANSFORMS),
        slots=(new_slot(key, random, path),),
        model_kind=ModelKind.SPACE if isinstance(model_id, ModelId) else ModelKind.FILE,
    )
    slot = header.slots[0]
    slot_key = slot_key_of(key, header, slot)
    records = [PolicyRecord(SLOT_KEYS, critical=True, value=slot_key)]
    if audit_policy:
        records.append(PolicyRecord(AUDIT_POLICY, critical=False, value=audit_policy))
    if networks is not None:
        records.append(PolicyRecord(PINNED_NETWORKS, critical=True, value=pack_networks(networks)))
    content = empty_content(random(32), header.template_type, dimension)
    content = replace(content, committed_at_s=now_s, policy=tuple(records))
    return header, with_model(content, model_id) if isinstance(model_id, ModelId) else content


def write_first_generation(
    environment: Environment, key: KeyProvider, header: Header, content: Content, *, audited: bool
) -> tuple[Generation, AuditLog]:
    """Write the first generation; if that fails, remove everything that was written.

    Args:
        environment: The gallery's path, at which there must be no file, and its anchor.
        key: The key of slot 0.
        header: From `first_generation`; its generation number is set to the anchor's next one.
        content: From `first_generation`.
        audited: True to start an audit log.

    Raises:
        GalleryError: the gallery's file exists, an audit log of an earlier gallery is next to it, the anchor is in use,
            or a file cannot be written.
    """
    files, path, anchor = environment.files, environment.path, environment.anchor
    log = AuditLog(files, audit_path(path))
    undo_key = contextlib.ExitStack()
    if isinstance(key, ErasableKey):
        undo_key.callback(_clean_up, key.forget, header.slots[0].parameters)
    with undo_key, locked(files, path), contextlib.ExitStack() as undo:
        check_absent(environment)
        if audited and log.records_changes():
            raise GalleryError(
                f"{audit_path(path)} is the audit log of a gallery that no longer exists",
                hint="move the log away and keep it, or put its gallery back; a new gallery starts its own log",
            )
        undo.callback(_clean_up, files.unlink, lock_path(path))
        if anchor.read(header.gallery_id):
            raise GalleryError("the anchor is in use", hint="use a separate anchor for each gallery")
        undo.callback(_clean_up, anchor.abandon, header.gallery_id)
        header = with_generation(header, anchor.prepare(header.gallery_id) + 1)
        if audited:
            if files.mode(audit_path(path)) is None:
                undo.callback(_clean_up, files.unlink, audit_path(path))
            seal = log.append(
                [AuditEvent("create", detail=f"gallery={header.gallery_id.hex()}")],
                LogSeal.first(environment.random),
                now_s=content.committed_at_s,
                generation=header.generation,
                commit=True,
            )
            content = seal.stored_in(content)
        undo.callback(_clean_up, files.unlink, path)
        slot = OpenSlot(0, slot_keys_of(content)[0])
        content = with_anchor(content, anchor.identity(header.gallery_id))
        with anchor.staged(header.gallery_id, header.generation):
            generation = write_generation(environment, header, content, slot)
            anchor.advance(header.gallery_id, header.generation)
        undo.pop_all()
        undo_key.pop_all()
    return generation, log


def check_absent(environment: Environment) -> None:
    """Raise GalleryError if there is a file at the gallery's path."""
    try:
        environment.files.read(environment.path, 0)
    except FileNotFoundError:
        return
    except OSError as error:
        raise GalleryError(f"cannot create {environment.path}: {error.strerror or error}") from error
    raise GalleryError(f"{environment.path} exists already", hint="open it, or choose another path")


def name_of(choices: dict[str, Any], value: enum.Enum) -> str:
    """Return the name of a value in a table such as `SUITES`."""
    return next(name for name, choice in choices.items() if choice is value)


def _choice(what: str, name: str, choices: dict[str, Any]) -> Any:
    if name not in choices:
        raise InputError(f"expected {what} to be one of {', '.join(choices)}, found {name!r}")
    return choices[name]


def _clean_up(step: Callable[..., None], *arguments: object) -> None:
    """Run one clean-up step after a failed creation; ignore its errors."""
    with contextlib.suppress(OSError, GalleryError):
        step(*arguments)
