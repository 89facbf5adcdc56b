"""The content of a gallery with templates of another model. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge_sdk.errors import GalleryError, ModelCardError, SubjectExistsError
from edge_sdk.gallery.format.captures_record import KeptRecord, pack_captures, pack_kept, parse_captures
from edge_sdk.gallery.format.content import (
    CAPTURES,
    KEPT_GENERATION,
    LOOKS,
    OWN_THRESHOLDS,
    TEMPLATE,
    Content,
    PolicyRecord,
    ids_of,
)
from edge_sdk.gallery.format.header import Header, ModelKind
from edge_sdk.gallery.format.looks import Look, pack_looks
from edge_sdk.gallery.format.model_binding import with_model
from edge_sdk.gallery.looks import looks_by_subject
from edge_sdk.gallery.match.matcher import rotation_of
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.gallery.rules.enrolment import odd_capture
from edge_sdk.gallery.rules.policy import DecisionPolicy, parse_own_thresholds
from edge_sdk.gallery.rules.thresholds import Thresholds, stored_policy
from edge_sdk.gallery.transaction import Transaction
from edge_sdk.types import Float64Array

if TYPE_CHECKING:
    from edge_sdk.model.card import ModelCard
    from edge_sdk.model.model_id import ModelId

#: FPIR for the check of distinct subjects in a gallery without a decision policy.
_FPIR_WITHOUT_POLICY = 0.01
_BLOCK_ROWS = 1024
_MOST_NAMES = 5


@dataclass(frozen=True)
class NewModel:
    """The model to which a gallery changes.

    Attributes:
        model_id: Its digests.
        card: Its card, whose operating points give the new thresholds.
    """

    model_id: ModelId
    card: ModelCard


@dataclass(frozen=True, eq=False)
class NewTemplates:
    """Unit embeddings of the new model for the subjects that stay.

    Attributes:
        rows: Shape (n, D), float64, L2 norm 1.
        owners: Shape (n,), ascending index of the subject in the old content.
        looks: Looks to which the last embeddings of each subject belong.
        allow_duplicates: Accept subjects that look like one another to the new model.
    """

    rows: Float64Array
    owners: np.ndarray
    looks: tuple[Look, ...] = ()
    allow_duplicates: bool = False


def require_no_own_thresholds(content: Content) -> None:
    """Refuse a gallery with thresholds of single subjects, which are cosines of the old model.

    Raises:
        GalleryError: there are any; the message names the subjects.
    """
    own = parse_own_thresholds(content.record(OWN_THRESHOLDS) or b"")
    names = [
        name for name, subject in zip(content.names, ids_of(content.subjects), strict=True) if subject in own
    ]
    if names:
        raise GalleryError(
            f"expected no thresholds of single subjects, because they are not valid for another model, found them for {listed(names)}",
            hint="remove each with edge-sdk gallery threshold NAME --none",
        )


def new_policy(content: Content, card: ModelCard) -> DecisionPolicy | None:
    """Return the gallery's policy with the operating points of another card; None if the gallery has none.

    Raises:
        ModelCardError: the card has no operating points, or no scores for a policy that adapts.
    """
    old = stored_policy(content.record)
    if old is None:
        return None
    if not card.operating_points:
        raise ModelCardError(
            "the gallery decides by a policy, and the card of the new model has no operating points",
            hint="measure them with edge-convert evaluate --write-card",
        )
    if old.adapts and card.non_mated_scores is None:
        raise ModelCardError(
            "the gallery raises thresholds for its own subjects, and the card of the new model has no non-mated scores",
            hint="measure them with edge-convert evaluate --write-card",
        )
    return replace(old, operating_points=card.operating_points, non_mated_scores=card.non_mated_scores)


def rebuilt(
    header: Header,
    content: Content,
    model: NewModel,
    templates: NewTemplates,
    kept: KeptRecord,
    *,
    random: Callable[[int], bytes],
    now_s: int,
) -> tuple[Header, Content]:
    """Return header and content with the templates of another model; subjects keep everything else.

    Args:
        header: The gallery's header.
        content: Its content.
        model: The new model.
        templates: Its embeddings. Subjects without any are left out.
        kept: The record of the generation before.
        random: Source of random bytes.
        now_s: Time of the change, Unix seconds.

    Raises:
        GalleryError: no subject would stay, a subject has a threshold of its own, or a subject's embeddings are not alike.
        SubjectExistsError: two subjects look alike to the new model.
        ModelCardError: the new card's evidence does not cover this gallery.
    """
    require_no_own_thresholds(content)
    policy = new_policy(content, model.card)
    header = replace(
        header,
        model_kind=ModelKind.SPACE,
        model_id=model.model_id.space,
        dimension=model.card.dimension,
    )
    stays, owners = np.unique(templates.owners, return_inverse=True)
    if not len(stays):
        raise GalleryError("no subject would have templates of the new model", hint="create a new gallery")
    names = tuple(content.names[index] for index in stays)
    ids = ids_of(content.subjects[stays])
    of_looks = Counter[bytes]()
    for look in templates.looks:
        of_looks[look.subject] += look.templates
    enrolled = [
        int(count) - of_looks[subject] for subject, count in zip(ids, np.bincount(owners), strict=True)
    ]
    _check(model.card, policy, templates, owners, names, enrolled)
    rotation = rotation_of(header, content)
    rows = templates.rows if rotation is None else rotation.apply(templates.rows)
    matrix, scales = quantize(rows, header.template_type)
    table = np.zeros(len(rows), dtype=TEMPLATE)
    table["subject"], table["scale"] = owners, scales
    changed = replace(
        content,
        subjects=content.subjects[stays],
        names=names,
        labels=tuple(content.labels[index] for index in stays),
        templates=table,
        matrix=matrix,
        policy=_records(content, frozenset(ids), templates.looks, kept),
    )
    changed = with_model(changed, model.model_id)
    transaction = plain_transaction(header, changed, random, now_s)
    if policy is not None:
        transaction.set_policy(policy)
    return header, transaction.apply()


def _records(
    content: Content, stays: frozenset[bytes], looks: Sequence[Look], kept: KeptRecord
) -> tuple[PolicyRecord, ...]:
    records = [record for record in content.policy if record.kind not in (CAPTURES, LOOKS, KEPT_GENERATION)]
    packed = pack_looks(look for look in looks if look.subject in stays)
    if packed:
        records.append(PolicyRecord(LOOKS, critical=False, value=packed))
    captures = content.record(CAPTURES)
    if captures is not None:
        value = pack_captures(parse_captures(captures).keeping(stays))
        records.append(PolicyRecord(CAPTURES, critical=False, value=value))
    records.append(PolicyRecord(KEPT_GENERATION, critical=False, value=pack_kept(kept)))
    return tuple(sorted(records, key=lambda record: record.kind))


def _check(
    card: ModelCard,
    policy: DecisionPolicy | None,
    templates: NewTemplates,
    owners: np.ndarray,
    names: Sequence[str],
    enrolled: Sequence[int],
) -> None:
    """Check that each subject's embeddings of the enrolment are alike, and that no two subjects are."""
    if policy is None:
        if not card.operating_points:
            raise ModelCardError(
                "the card of the new model has no operating points, so the templates cannot be checked",
                hint="measure them with edge-convert evaluate --write-card",
            )
        policy = DecisionPolicy(card.operating_points, fpir=_FPIR_WITHOUT_POLICY)
    thresholds = Thresholds(policy)
    limit, consistent = thresholds.limit(len(owners)), thresholds.consistent_threshold()
    odd = []
    for index, name in enumerate(names):
        own = templates.rows[owners == index][: enrolled[index]]
        if len(own) > 1 and odd_capture(own, consistent) is not None:
            odd.append(name)
    if odd:
        raise GalleryError(
            f"the captures of {listed(odd)} are not alike to the new model",
            hint="enrol them again, or leave them out with --leave-out",
        )
    pairs = [] if templates.allow_duplicates else _alike(templates.rows, owners, limit)
    if pairs:
        shown = "; ".join(f"{names[a]!r} and {names[b]!r}" for a, b in pairs[:_MOST_NAMES])
        more = f"; and {len(pairs) - _MOST_NAMES} more" if len(pairs) > _MOST_NAMES else ""
        raise SubjectExistsError(
            f"the new model would confuse subjects who look alike to it: {shown}{more}",
            hint="leave one of each pair out with --leave-out; if they are different people, an administrator may use"
            " --allow-duplicates",
        )


def _alike(rows: Float64Array, owners: np.ndarray, limit: float) -> list[tuple[int, int]]:
    """Return the pairs of subjects of whom a pair of embeddings reaches the limit."""
    single = rows.astype(np.float32)
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(single), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        alike = (single[block] @ single.T >= limit) & (owners[block, np.newaxis] != owners)
        first, second = np.nonzero(alike)
        pairs |= {
            (min(a, b), max(a, b))
            for a, b in zip(owners[start + first].tolist(), owners[second].tolist(), strict=True)
        }
    return sorted(pairs)


def listed(names: Sequence[str]) -> str:
    """Return names as a text: the first five, and the number of further ones."""
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def plain_transaction(
    header: Header, content: Content, random: Callable[[int], bytes], now_s: int
) -> Transaction:
    """Return a transaction on a content whose templates are in the space of the gallery already."""
    return Transaction(
        content, template_type=header.template_type, transform=lambda rows: rows, random=random, now_s=now_s
    )


def looks_not_kept(before: Content, after: Content, *, with_captures: bool) -> tuple[tuple[str, str], ...]:
    """Return the names of subject and look of the looks that a change of the model did not keep.

    Args:
        before: The content before the change.
        after: The content after it.
        with_captures: True for the looks whose captures became the enrolment, False for those without captures.
    """
    kept = {look.id for looks in looks_by_subject(after).values() for look in looks}
    names = dict(zip(ids_of(after.subjects), after.names, strict=True))
    captures = before.record(CAPTURES)
    record = None if captures is None else parse_captures(captures)
    stored = {entry.look for subject in names for entry in (record.of(subject) if record else ())}
    return tuple(
        (names[subject], look.name)
        for subject, looks in looks_by_subject(before).items()
        for look in looks
        if subject in names and look.id not in kept and (look.id in stored) == with_captures
    )
