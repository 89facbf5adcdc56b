"""Merge an export into a gallery: enrol whom the gallery does not have, and decide each subject separately."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_sdk.errors import CaptureError, InputError, ModelCardError, SubjectExistsError
from edge_sdk.gallery.exchange.export import Package
from edge_sdk.gallery.format.content import REVOKED, ids_of
from edge_sdk.gallery.subjects import EnrolOptions
from edge_sdk.gallery.transaction import Transaction


@dataclass(frozen=True)
class RefusedSubject:
    """A subject of an export that was not imported.

    Attributes:
        name: Its name in the export.
        reason: Reason in words.
        hint: Advice in words; None if there is none.
    """

    name: str
    reason: str
    hint: str | None = None


@dataclass(frozen=True)
class ImportResult:
    """The result of merging an export into a gallery; names are those of the export.

    Attributes:
        imported: Subjects that were enrolled.
        skipped: Subjects that the gallery has already; nothing was changed.
        replaced: Subjects that the gallery had already, with their new templates, label and validity.
        refused: Subjects that were not imported, with the reason.
    """

    imported: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    refused: tuple[RefusedSubject, ...] = ()


def merge(package: Package, transaction: Transaction, *, replace: bool) -> ImportResult:
    """Enrol the subjects of an export that the gallery does not have.

    A subject is the same if its id is the same, or if its name is the same and its templates are like those of that
    subject (without a policy: if its name is the same).

    Args:
        package: The opened export.
        transaction: Collects the changes.
        replace: Replace templates, label and validity of subjects that the gallery has; otherwise they are skipped. A
            subject that is revoked on either side is revoked afterwards.
    """
    content = package.content
    owners = content.templates["subject"]
    names: dict[str, list[str]] = {"imported": [], "skipped": [], "replaced": []}
    refused: list[RefusedSubject] = []
    for index, (subject_id, name, label) in enumerate(
        zip(ids_of(content.subjects), content.names, content.labels, strict=True)
    ):
        unit = content.matrix[owners == index].astype(np.float32)
        record = content.subjects[index]
        try:
            same = transaction.name_of(subject_id)
            if same is None and transaction.has(name):
                if not transaction.is_like(name, unit):
                    raise SubjectExistsError(
                        f"{name!r} is enrolled already, and the exported templates are not like those of that subject",
                        hint="if they are two people, give one of them another name; if not, remove the subject and import again",
                    )
                same = name
            if same is not None and not replace:
                names["skipped"].append(name)
                continue
            if same is None:
                transaction.enrol_as(
                    subject_id, name, unit, EnrolOptions(label=label, enrolled_by=package.sender)
                )
            else:
                transaction.replace_templates(same, unit, EnrolOptions(label=label))
        except (SubjectExistsError, CaptureError, InputError, ModelCardError) as error:
            refused.append(RefusedSubject(name, str(error), error.hint))
            continue
        names["imported" if same is None else "replaced"].append(name)
        enrolled = name if same is None else same
        transaction.restore_validity(enrolled, int(record["valid_from"]), int(record["valid_until"]))
        if record["flags"] & REVOKED:
            transaction.revoke(enrolled)
    return ImportResult(
        tuple(names["imported"]), tuple(names["skipped"]), tuple(names["replaced"]), tuple(refused)
    )
