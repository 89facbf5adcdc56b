"""The first generation of a gallery: the caller's words to header and content; pure but for the key."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from edge_sdk.errors import InputError
from edge_sdk.gallery.format import sealing
from edge_sdk.gallery.format.content import (
    AUDIT_ANSWERS,
    AUDIT_POLICY,
    SLOT_KEYS,
    Content,
    PolicyRecord,
    empty_content,
)
from edge_sdk.gallery.format.header import (
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

SUITES = {"aes-256-gcm": Suite.AES_256_GCM, "chacha20-poly1305": Suite.CHACHA20_POLY1305}
TEMPLATE_TYPES = {"int8": TemplateType.INT8, "float16": TemplateType.FLOAT16}
TRANSFORMS = {"shp3": Transform.SHP3, "none": Transform.NONE}
AUDITS = {"off": None, "changes": b"", "all": AUDIT_ANSWERS}


def first_generation(
    key: KeyProvider,
    *,
    model_id: bytes,
    dimension: int,
    dtype: str,
    transform: str,
    suite: str,
    audit: str,
    random: Callable[[int], bytes],
    now_s: int,
) -> tuple[Header, Content]:
    """An empty gallery's header and content; arguments and errors as `Gallery.create`."""
    if len(model_id) != MODEL_ID_BYTES:
        raise InputError(f"model_id has {len(model_id)} bytes, expected {MODEL_ID_BYTES} (a SHA-256)")
    if not 1 <= dimension <= 0xFFFF:
        raise InputError(f"dimension {dimension} is not in 1..65535")
    kept = _choice("audit", audit, AUDITS)
    header = Header(
        suite=_choice("suite", suite, SUITES),
        gallery_id=random(ID_BYTES),
        generation=1,
        key_epoch=1,
        model_id=bytes(model_id),
        dimension=dimension,
        template_type=_choice("dtype", dtype, TEMPLATE_TYPES),
        transform=_choice("transform", transform, TRANSFORMS),
        slots=(Slot(key.slot_type, key.new_parameters(random), bytes(WRAPPED_BYTES)),),
    )
    slot = header.slots[0]
    slot_key = sealing.derive_slot_key(key.secret(slot.parameters), header, slot)
    records = [PolicyRecord(SLOT_KEYS, critical=True, value=slot_key)]
    if kept:
        records.append(PolicyRecord(AUDIT_POLICY, critical=False, value=kept))
    content = empty_content(random(32), header.template_type, dimension)
    return header, replace(content, committed_at_s=now_s, policy=tuple(records))


def name_of(choices: dict[str, Any], value: enum.Enum) -> str:
    """The caller's word for a value of the format."""
    return next(name for name, choice in choices.items() if choice is value)


def _choice(what: str, name: str, choices: dict[str, Any]) -> Any:
    if name not in choices:
        raise InputError(f"expected {what} to be one of {', '.join(choices)}, found {name!r}")
    return choices[name]
