"""The model to which a gallery is bound: check it, and bind to the embedding space instead of the model file. Pure.

A gallery of kind `SPACE` holds the id of the embedding space, and the digest of the model file as a record. A gallery of
kind `FILE` was created by edge-sdk 0.2, or by a program that passes plain bytes. It holds one digest.
"""

from __future__ import annotations

from dataclasses import replace

from edge_sdk.errors import InputError, ModelCardError, ModelMismatchError
from edge_sdk.gallery.format.captures_record import parse_kept
from edge_sdk.gallery.format.content import EVIDENCE, KEPT_GENERATION, MODEL_FILE, Content, PolicyRecord
from edge_sdk.gallery.format.header import MODEL_ID_BYTES, Header, ModelKind
from edge_sdk.model.model_id import ModelId

_SHOWN_DIGITS = 8


def checked_model_id(model_id: object) -> bytes:
    """Return a model id that a caller gives.

    Raises:
        InputError: it is not bytes, or has another length than 32.
    """
    if not isinstance(model_id, bytes | bytearray):
        raise InputError(f"expected model_id of type bytes, found {type(model_id).__name__}")
    if len(model_id) != MODEL_ID_BYTES:
        raise InputError(f"model_id has {len(model_id)} bytes, expected {MODEL_ID_BYTES} (a SHA-256)")
    return model_id if isinstance(model_id, ModelId) else bytes(model_id)


def require_model(header: Header, content: Content, model_id: bytes) -> None:
    """Refuse embeddings of another model.

    Args:
        header: The gallery's header.
        content: The gallery's content.
        model_id: Id of the model in use: a `ModelId`, or plain bytes that equal the gallery's id or the digest of its
            model file.

    Raises:
        InputError: the model id is malformed.
        ModelMismatchError: the gallery was made for another model.
    """
    model_id = checked_model_id(model_id)
    of_space = header.model_kind is ModelKind.SPACE
    own = model_id.space if of_space and isinstance(model_id, ModelId) else bytes(model_id)
    # Plain bytes may also be the digest of the model file: a program that computes it is not broken by the binding.
    file = content.record(MODEL_FILE) if of_space and not isinstance(model_id, ModelId) else None
    if own in (header.model_id, file):
        return
    kept = content.record(KEPT_GENERATION)
    if kept is not None and own == parse_kept(kept).model_id:
        raise ModelMismatchError(
            f"the model of the gallery was changed to {header.model_id.hex()[:_SHOWN_DIGITS]}, the model in use is still the"
            f" earlier one, {own.hex()[:_SHOWN_DIGITS]}",
            hint="use the new model's file, or return to the earlier model with edge-sdk gallery migrate --undo",
        )
    raise ModelMismatchError(
        f"the gallery holds templates of model {header.model_id.hex()[:_SHOWN_DIGITS]}, "
        f"the model in use is {own.hex()[:_SHOWN_DIGITS]}",
        hint="use the gallery's model; or change to this one with edge-sdk gallery migrate, or enrol again"
        if of_space
        else "use the gallery's model file; if only the file's card has changed since, bind the gallery with"
        " edge-sdk gallery bind-model --original EARLIER_FILE; otherwise enrol again with this model",
    )


def is_comparable(
    header: Header, content: Content, model: ModelId | None, kind: ModelKind, model_id: bytes
) -> bool:
    """Tell if templates of another gallery can be compared with this gallery's.

    Args:
        header: The gallery's header.
        content: The gallery's content.
        model: The model that the gallery was opened with and checked against; None if there is none.
        kind: Kind of the other gallery's model id.
        model_id: The other gallery's model id, 32 bytes.
    """
    known = [(header.model_kind, header.model_id)]
    if header.model_kind is ModelKind.SPACE:
        known.append((ModelKind.FILE, content.record(MODEL_FILE) or b""))
    if model is not None:
        known += [(ModelKind.FILE, bytes(model)), (ModelKind.SPACE, model.space)]
    return (kind, model_id) in known


def bound_to_space(header: Header, content: Content, model: ModelId | None) -> tuple[Header, Content] | None:
    """Return header and content bound to the model's embedding space; None if nothing is to change.

    Args:
        header: A header whose model id is the digest of `model`'s file, or of any other kind.
        content: The content that goes with it.
        model: The model that the gallery was opened with; None if there is none.
    """
    if model is None or header.model_kind is not ModelKind.FILE or header.model_id != model:
        return None
    return replace(header, model_kind=ModelKind.SPACE, model_id=model.space), with_model(content, model)


def require_evidence(header: Header, content: Content, evidence: bytes) -> None:
    """Refuse thresholds from a card whose evidence is not the one that the gallery has stored.

    A gallery of kind `FILE` is bound to the whole file, so its card cannot have changed.

    Args:
        header: The gallery's header.
        content: The gallery's content.
        evidence: Digest of the evidence in the card, from `edge_sdk.model.model_id.evidence_id`.

    Raises:
        ModelCardError: the evidence is another one.
    """
    if header.model_kind is ModelKind.SPACE and evidence != content.record(EVIDENCE):
        raise ModelCardError(
            "the evidence in the model's card is not the one that the gallery has stored",
            hint="if the model was measured again, store its evidence with edge-sdk gallery policy; otherwise copy the"
            " model file again",
        )


def with_model(content: Content, model: ModelId) -> Content:
    """Return the content with the digests of the model file and of its evidence as records."""
    values = {MODEL_FILE: bytes(model), EVIDENCE: model.evidence}
    records = [record for record in content.policy if record.kind not in values]
    records += [PolicyRecord(kind, critical=False, value=value) for kind, value in values.items() if value]
    return replace(content, policy=tuple(sorted(records, key=lambda record: record.kind)))
