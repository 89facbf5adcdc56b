"""The content of a gallery after a change of its model is undone. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from edge_sdk.errors import GalleryError, InputError
from edge_sdk.gallery.format.captures_record import parse_captures
from edge_sdk.gallery.format.content import CAPTURES, LOOKS, Content, PolicyRecord, ids_of
from edge_sdk.gallery.format.header import Header
from edge_sdk.gallery.format.looks import Look, pack_looks
from edge_sdk.gallery.looks import looks_by_subject
from edge_sdk.gallery.migration.rebuild import listed, plain_transaction
from edge_sdk.gallery.rules.policy import DecisionPolicy
from edge_sdk.gallery.rules.thresholds import stored_policy


def with_current_policy(
    header: Header,
    content: Content,
    current: DecisionPolicy | None,
    *,
    random: Callable[[int], bytes],
    now_s: int,
) -> Content:
    """Return the content of an undone change with the FPIR, margin and retry band that the gallery has now.

    Args:
        header: The gallery's header.
        content: The content, with the operating points of the earlier model.
        current: The gallery's policy before the change is undone.
        random: Source of random bytes.
        now_s: Time of the change, Unix seconds.

    Raises:
        GalleryError: a policy that adapts would not accept the gallery's own subjects.
    """
    old = stored_policy(content.record)
    if old is None or current is None:
        return content
    policy = replace(
        old,
        fpir=current.fpir,
        margin=current.margin,
        retry_band=current.retry_band,
        adapts=current.adapts and old.non_mated_scores is not None,
    )
    if policy == old:
        return content
    transaction = plain_transaction(header, content, random, now_s)
    transaction.set_policy(policy)
    return transaction.apply()


def looks_from_captures(content: Content) -> frozenset[bytes]:
    """Return the ids of the looks that a change of the model from captures keeps.

    Templates of a look follow those of the enrolment; without captures of the enrolment, the first look takes its place.
    """
    record = content.record(CAPTURES)
    parts = () if record is None else parse_captures(record).parts
    return frozenset(
        entry.look
        for _, of_subject in itertools.groupby(parts, key=lambda entry: entry.subject)
        for entry in list(of_subject)[1:]
    )


def restored(
    content: Content,
    old: Content,
    left_out: Sequence[bytes],
    records: Mapping[int, bool],
    *,
    kept_looks: frozenset[bytes] | None = None,
) -> Content:
    """Return the content of a kept generation with the current state of its subjects.

    Subjects and looks that were removed since stay removed. Flags, validity, names and labels are the current ones.

    Args:
        content: The current content.
        old: The content of the kept generation.
        left_out: Ids of the subjects that the change of the model left out, who come back.
        records: Kinds of policy records that belong to the model; True takes the old one, all others stay current.
        kept_looks: Ids of the looks that the change kept; None if it kept all of them.

    Raises:
        GalleryError: subjects were enrolled since, who have no templates of the old model; the message names them.
    """
    now = dict(zip(ids_of(content.subjects), range(len(content.subjects)), strict=True))
    old_ids = ids_of(old.subjects)
    known = set(old_ids)
    unknown = [content.names[index] for subject, index in now.items() if subject not in known]
    if unknown:
        raise GalleryError(
            f"no templates of the earlier model exist of {listed(unknown)}, enrolled after the change of the model",
            hint="remove them first with edge-sdk gallery remove, and enrol them again afterwards",
        )
    comes_back = set(left_out)
    stays = [index for index, subject in enumerate(old_ids) if subject in now or subject in comes_back]
    subjects = old.subjects[stays]
    names, labels = [], []
    for place, index in enumerate(stays):
        current = now.get(old_ids[index])
        if current is not None:
            subjects[place] = content.subjects[current]
        names.append(old.names[index] if current is None else content.names[current])
        labels.append(old.labels[index] if current is None else content.labels[current])
    if len(set(names)) != len(names):
        raise InputError(
            "a subject that the change left out comes back, and another subject has its name now",
            hint="rename or remove it first",
        )
    new_index = np.full(len(old_ids), -1, np.int64)
    new_index[stays] = np.arange(len(stays))
    owners = new_index[old.templates["subject"]]
    looks, removed = _looks_since(content, old, kept_looks)
    owners[removed] = -1
    table = old.templates[owners >= 0].copy()
    table["subject"] = owners[owners >= 0]
    policy = [record for record in content.policy if record.kind not in (*records, LOOKS)]
    policy += [record for record in old.policy if records.get(record.kind)]
    stay_ids = {old_ids[index] for index in stays}
    packed = pack_looks(look for look in looks if look.subject in stay_ids)
    if packed:
        policy.append(PolicyRecord(LOOKS, critical=False, value=packed))
    return replace(
        content,
        subjects=subjects,
        names=tuple(names),
        labels=tuple(labels),
        templates=table,
        matrix=old.matrix[owners >= 0],
        policy=tuple(sorted(policy, key=lambda record: record.kind)),
    )


def _looks_since(
    content: Content, old: Content, kept_looks: frozenset[bytes] | None
) -> tuple[list[Look], list[int]]:
    """Return the looks of a kept generation without those removed since, and the rows of the removed ones."""
    now = {look.id for looks in looks_by_subject(content).values() for look in looks}
    enrolled = frozenset(ids_of(content.subjects))
    rows = np.argsort(old.templates["subject"], kind="stable")
    counts = np.bincount(old.templates["subject"], minlength=len(old.subjects))
    ends = dict(zip(ids_of(old.subjects), np.cumsum(counts).tolist(), strict=True))
    stay: list[Look] = []
    removed: list[int] = []
    for subject, looks in looks_by_subject(old).items():
        end = ends[subject]
        for look in reversed(looks):
            if subject in enrolled and look.id not in now and (kept_looks is None or look.id in kept_looks):
                removed += rows[end - look.templates : end].tolist()
            else:
                stay.append(look)
            end -= look.templates
    return stay[::-1], removed
