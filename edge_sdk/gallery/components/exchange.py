"""`gallery.exchange`: exports for other galleries, imports, and signed commands of a back office."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.gallery.erasure import erase
from edge_sdk.gallery.exchange import commands, sources
from edge_sdk.gallery.exchange.export import export_subjects, open_package
from edge_sdk.gallery.exchange.merge import ImportResult, merge
from edge_sdk.gallery.format.content import Content
from edge_sdk.gallery.results import ErasureReceipt
from edge_sdk.gallery.session import Session
from edge_sdk.gallery.store.audit_log import AuditEvent


@dataclass(frozen=True)
class CommandResult:
    """The result of an executed command.

    Attributes:
        action: The command's action.
        subjects: Names of the subjects that the command changed.
        sequence: The command's sequence number.
        state: State of the gallery after the command, for which the next command can be signed.
        receipt: The receipt of an erasure, otherwise None.
    """

    action: str
    subjects: tuple[str, ...]
    sequence: int
    state: str
    receipt: ErasureReceipt | None = None


class Exchange:
    """Exchanges subjects with other galleries and executes commands of a back office."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def export(self, *subjects: str, recipient: bytes) -> bytes:
        """Seal subjects for one other gallery of the same model; only that gallery can open the export.

        Args:
            subjects: Names of the subjects; all subjects by default.
            recipient: The other gallery's public key, 32 bytes, from its status.

        Raises:
            SubjectUnknownError: a subject is not enrolled.
            InputError: the recipient is not a public key.
            GalleryError: the export would be over 64 MiB, the audit log cannot be written, or the gallery was opened
                without its anchor.
        """
        session = self._session
        session.require_anchor()
        data = export_subjects(session.header, session.content, subjects, recipient=recipient)
        count = len(set(subjects)) or len(session.content.subjects)
        session.note(AuditEvent("export", detail=f"subjects={count},recipient={recipient.hex()}"))
        return data

    def merge_package(self, package: bytes, *, replace: bool = False) -> ImportResult:
        """Enrol the subjects of an export that this gallery does not have, in one commit.

        A subject that cannot be imported, for example a person who is enrolled under another name, is refused, and the
        others are imported.

        Args:
            package: The bytes of the export.
            replace: Replace templates, label and validity of subjects that the gallery has, if the new templates are like the
                stored ones; otherwise these subjects are skipped.

        Returns:
            The names of the subjects that were imported, skipped and replaced, and the refused ones with the reason.

        Raises:
            GalleryFormatError, SealError, ModelMismatchError: see `import_package`.
        """
        opened = open_package(package, self._session.header, self._session.content, model=self._session.model)
        results: list[ImportResult] = []
        self._session.change(lambda transaction: results.append(merge(opened, transaction, replace=replace)))
        return results[-1]

    def import_package(self, package: bytes) -> tuple[str, ...]:
        """Enrol all subjects of an export for this gallery, in one commit, or none of them.

        Returns:
            The subjects' names.

        Raises:
            GalleryFormatError: the package is not an export.
            SealError: the export is for another gallery, or was altered.
            ModelMismatchError: the templates are of another model.
            SubjectExistsError: a name is taken, or a subject looks like another one; no subject is enrolled.
        """
        opened = open_package(package, self._session.header, self._session.content, model=self._session.model)
        self._session.change(opened.enrol_into)
        return opened.names

    def sources(self) -> dict[str, int]:
        """Return the last accepted sequence number of each accepted back office, by its public key in hexadecimal."""
        return {source.hex(): last for source, last in self._session.content.sources.items()}

    def add_source(self, source: bytes) -> None:
        """Accept commands of a back office, if they are signed for the present state of the gallery or a later one.

        This also applies to the commands of the other sources.

        Args:
            source: Its public key, 32 bytes.

        Raises:
            InputError: the source is not a public key or is accepted already, or there are 256 sources, removed ones
                included.
        """
        self._session.change(lambda _: None, lambda content: sources.with_source(content, source))

    def remove_source(self, source: bytes) -> None:
        """Stop accepting commands of a back office; if it is added again, commands that it signed before are still refused.

        Raises:
            InputError: the source is not accepted.
        """
        self._session.change(lambda _: None, lambda content: sources.without_source(content, source))

    def execute(self, command: bytes) -> CommandResult:
        """Execute a signed command and store its sequence number in the same commit.

        The command must be signed for a state of this gallery (`GalleryStatus.state`). It is refused if its subject was
        changed since that state by anybody but its own source.

        Raises:
            CommandRefusedError: see `commands.verify`.
            GalleryError: the command cannot be executed; unless it is a ChangeCommittedError, it may be sent again.
        """
        return self._session.retry(lambda: self._execute(command))

    def _execute(self, data: bytes) -> CommandResult:
        session = self._session
        command = commands.verify(
            data,
            session.content,
            gallery_id=session.header.gallery_id,
            state=session.state,
            time=session.time(),
        )

        def amend(content: Content) -> Content:
            return sources.with_executed(content, command.source, command.sequence)

        if command.action == "erase":
            receipt = erase(session, [command.subject], (), amend)
            return CommandResult(
                command.action, (command.subject,), command.sequence, str(session.state), receipt
            )
        before, transaction = session.content, session.transaction()
        names: tuple[str, ...] = (command.subject,)
        if command.action == "enrol":
            package = open_package(command.package, session.header, session.content, model=session.model)
            package.enrol_into(transaction)
            names = package.names
        elif command.action == "revoke":
            transaction.revoke(command.subject)
        else:
            transaction.reinstate(command.subject)
        session.commit(before, amend(transaction.apply()), notes=transaction.notes)
        return CommandResult(command.action, names, command.sequence, str(session.state))
