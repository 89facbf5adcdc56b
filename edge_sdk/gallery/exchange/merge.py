"""Merge an export into a gallery: enrol whom the gallery does not have, and decide each subject separately."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_sdk.errors import CaptureError, InputError, ModelCardError, SubjectExistsError
from edge_sdk.gallery.exchange.export import ExportedTemplates, Package
from edge_sdk.gallery.format.content import REVOKED, ids_of
from edge_sdk.gallery.rules.names import normalized
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
    """The result of merging an export into a gallery; names are those in the gallery, except those of refused subjects.

    Attributes:
        imported: Subjects that were enrolled.
        skipped: Subjects that the gallery has already; nothing was changed.
        replaced: Subjects that the gallery had already, with their new templates, label and validity.
        refused: Subjects that were not imported, with the reason.
        refused_looks: Looks of imported subjects that were not imported, as `subject, look name`, with the reason.
    """

    imported: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    refused: tuple[RefusedSubject, ...] = ()
    refused_looks: tuple[RefusedSubject, ...] = ()


def merge(package: Package, transaction: Transaction, *, replace: bool) -> ImportResult:
    """Enrol the subjects of an export that the gallery does not have.

    A subject is the same if its id is the same, or if its name is the same and its templates are like those of that
    subject (without a policy: if its name is the same). Templates that are not like those of the subject replace nothing,
    because an export does not prove who made it: whoever forges one would be accepted under the subject's name.

    Args:
        package: The opened export.
        transaction: Collects the changes.
        replace: Replace templates, label and validity of subjects that the gallery has, if the new templates are like the
            stored ones; otherwise these subjects are skipped. A subject that is revoked on either side is revoked afterwards.
    """
    content = package.content
    names: dict[str, list[str]] = {"imported": [], "skipped": [], "replaced": []}
    refused: list[RefusedSubject] = []
    refused_looks: list[RefusedSubject] = []
    for index, (subject_id, name, label) in enumerate(
        zip(ids_of(content.subjects), map(normalized, content.names), content.labels, strict=True)
    ):
        templates = package.templates(index)
        unit = templates.enrolled
        record = content.subjects[index]
        try:
            same = transaction.name_of(subject_id)
            by_name = same is None and transaction.has(name)
            same = name if by_name else same
            if same in names["imported"]:
                raise SubjectExistsError(f"the export holds {same!r} twice", hint="request a new export")
            if same is not None and (by_name or replace) and not transaction.is_like(same, unit):
                raise SubjectExistsError(
                    f"{same!r} is enrolled already, and the exported templates are not like those of that subject",
                    hint="if they are two people, give one of them another name; if not, remove the subject and import again",
                )
            if same is not None and not replace:
                names["skipped"].append(same)
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
        enrolled = name if same is None else same
        names["imported" if same is None else "replaced"].append(enrolled)
        refused_looks += _add_looks(transaction, enrolled, templates)
        transaction.restore_validity(enrolled, int(record["valid_from"]), int(record["valid_until"]))
        if record["flags"] & REVOKED:
            transaction.revoke(enrolled)
    return ImportResult(
        tuple(names["imported"]),
        tuple(names["skipped"]),
        tuple(names["replaced"]),
        tuple(refused),
        tuple(refused_looks),
    )


def _add_looks(
    transaction: Transaction, subject: str, templates: ExportedTemplates
) -> Iterator[RefusedSubject]:
    """Add looks to a subject with the checks of any addition, and yield those that are refused."""
    for look in templates.looks:
        try:
            transaction.enrol(subject, look.rows, EnrolOptions(add=True, look=look.name))
        except (SubjectExistsError, CaptureError, InputError, ModelCardError) as error:
            yield RefusedSubject(f"{subject}, look {look.name}", str(error), error.hint)
