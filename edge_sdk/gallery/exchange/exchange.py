"""What comes and goes: exports for another gallery, imports, and the signed commands of a back office.

A part of `Gallery`.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.gallery.custody import Custody
from edge_sdk.gallery.exchange import commands
from edge_sdk.gallery.exchange.export import export_subjects, open_package
from edge_sdk.gallery.format.content import Content
from edge_sdk.gallery.results import ErasureReceipt
from edge_sdk.gallery.store.audit_log import AuditEvent


@dataclass(frozen=True)
class Obeyed:
    """A command that was carried out.

    Attributes:
        action: What was done.
        subjects: To whom.
        sequence: The command's number.
        receipt: Of an erasure, else None.
    """

    action: str
    subjects: tuple[str, ...]
    sequence: int
    receipt: ErasureReceipt | None = None


class Exchange(Custody):
    """An open gallery, as others speak with it."""

    def export(self, *subjects: str, recipient: bytes) -> bytes:
        """Seal subjects for another gallery of the same model; nobody else can open it.

        Args:
            subjects: Whom; everybody where there is none.
            recipient: The other gallery's public key, 32 bytes; its status names it.

        Raises:
            SubjectUnknownError: one of them is not enrolled.
            InputError: the recipient is no public key.
            GalleryError: over 64 MiB, or the audit log cannot be written.
        """
        vault = self._vault
        data = export_subjects(vault.header, vault.content, subjects, recipient=recipient)
        who = len(set(subjects)) or len(vault.content.subjects)
        vault.note(AuditEvent("export", detail=f"subjects={who},recipient={recipient.hex()}"))
        return data

    def import_from(self, package: bytes) -> tuple[str, ...]:
        """Enrol everyone out of an export for this gallery, in one commit; returns their names.

        Raises:
            GalleryFormatError: not an export.
            SealError: for another gallery, or altered.
            ModelMismatchError: made for another model.
            SubjectExistsError: a name is taken, or someone looks like another subject; nobody is enrolled.
        """
        opened = open_package(package, self._vault.header, self._vault.content)
        self._change(opened.enrol_into)
        return opened.names

    def sources(self) -> dict[str, int]:
        """The back offices that are obeyed, by public key in hexadecimal, and the last sequence number of each."""
        return {source.hex(): last for source, last in self._vault.content.sources.items()}

    def add_source(self, source: bytes) -> None:
        """Obey a back office from now on.

        Args:
            source: Its public key, 32 bytes.

        Raises:
            InputError: no public key, known already, or over 256 of them, those that were taken out among them.
        """
        self._change(lambda t: None, lambda content: commands.with_source(content, source))

    def remove_source(self, source: bytes) -> None:
        """Obey a back office no more; should it be added again, nothing that it signed before is obeyed.

        Raises:
            InputError: it is not known.
        """
        self._change(lambda t: None, lambda content: commands.without_source(content, source))

    def obey(self, command: bytes) -> Obeyed:
        """Carry a signed command out, and remember its number in the same commit.

        Raises:
            CommandRefusedError: not of a known source, altered, for another gallery, or not newer than the last.
            GalleryError: it cannot be carried out; it may be sent again.
        """
        return self._repeated(lambda: self._obey(command))

    def _obey(self, data: bytes) -> Obeyed:
        vault = self._vault
        command = commands.verify(data, vault.content, gallery_id=vault.header.gallery_id)

        def amend(content: Content) -> Content:
            return commands.with_executed(content, command)

        if command.action == "erase":
            receipt = self._erase([command.subject], (), amend)
            return Obeyed(command.action, (command.subject,), command.sequence, receipt)
        before, transaction = vault.content, self._transaction()
        names: tuple[str, ...] = (command.subject,)
        if command.action == "enrol":
            package = open_package(command.package, vault.header, vault.content)
            package.enrol_into(transaction)
            names = package.names
        elif command.action == "revoke":
            transaction.revoke(command.subject)
        else:
            transaction.reinstate(command.subject)
        self._commit(before, amend(transaction.apply()))
        return Obeyed(command.action, names, command.sequence)
