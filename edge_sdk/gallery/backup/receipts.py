"""Results of a backup and of a restore."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sdk.gallery.results import KeySlot


@dataclass(frozen=True)
class BackupReceipt:
    """The receipt of a backup.

    Attributes:
        path: The backup file.
        gallery_id: 32 hexadecimal digits.
        generation: Generation of the gallery in it.
        created_at_s: Time of the backup, Unix seconds.
        size_bytes: Length of the file.
        subjects: Number of subjects in it.
        log_files: Number of files of the audit log in it.
        keys: The keys that open it.
        opens_elsewhere: The keys among them that can open it on another device.
        statement: The content, the keys, and the duty to delete the file, in words.
    """

    path: str
    gallery_id: str
    generation: int
    created_at_s: int
    size_bytes: int
    subjects: int
    log_files: int
    keys: tuple[KeySlot, ...]
    opens_elsewhere: tuple[KeySlot, ...]
    statement: str


@dataclass(frozen=True)
class Difference:
    """The changes that a restore undoes in the gallery that it replaces.

    Attributes:
        generations: Number of generations that the restore goes back; 0 if nothing newer is known.
        key_epochs: Number of key epochs that it goes back: keys that were removed since open the gallery again.
        returning: Subjects that were removed or erased since the backup and are enrolled again.
        reinstated: Subjects that were revoked since the backup and are accepted again.
        missing: Subjects that were enrolled since the backup and are not enrolled any more.
        settings: Other differences to the replaced gallery, in words: validity, looks, policy, limits, command sources.
        other_model: True if the replaced gallery is bound to another model, for example after `gallery migrate`.
        known: False if the replaced gallery could not be opened with the key, so that subjects could not be compared.
    """

    generations: int = 0
    key_epochs: int = 0
    returning: tuple[str, ...] = ()
    reinstated: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    other_model: bool = False
    known: bool = True

    def words(self) -> tuple[str, ...]:
        """Return one sentence for each effect."""
        lines = []
        if self.generations:
            lines.append(f"it goes back by {self.generations} generation{'s' * (self.generations != 1)}")
        if not self.known:
            lines.append(
                "the present gallery cannot be opened, so it is not known who was enrolled, revoked or erased since"
            )
        if self.returning:
            lines.append(f"erased or removed since, and enrolled again: {', '.join(self.returning)}")
        if self.reinstated:
            lines.append(f"revoked since, and accepted again: {', '.join(self.reinstated)}")
        if self.missing:
            lines.append(f"enrolled since, and missing: {', '.join(self.missing)}")
        lines += self.settings
        if self.other_model:
            lines.append("the model was changed since: the restored gallery needs the earlier model file")
        if self.key_epochs:
            lines.append("if keys were removed or replaced since, they open the gallery again")
        return tuple(lines)


@dataclass(frozen=True)
class Restoration:
    """The result of a restore.

    Attributes:
        path: The gallery file.
        gallery_id: 32 hexadecimal digits.
        from_generation: Generation in the backup.
        generation: Generation of the restored gallery, newer than every generation that the anchor has seen.
        backed_up_at_s: Time of the backup, Unix seconds.
        subjects: Number of subjects.
        anchor: Kind and strength of the anchor.
        log: `restored` (from the backup), `kept` (the newer one on this device), or `none`.
        difference: What was undone.
        failures: Failed attempts in a row, which a restore does not clear; None if attempts are not limited, or if the counter
            is missing and every attempt is refused.
        statement: The same in words.
    """

    path: str
    gallery_id: str
    from_generation: int
    generation: int
    backed_up_at_s: int
    subjects: int
    anchor: str
    log: str
    difference: Difference
    failures: int | None
    statement: str
