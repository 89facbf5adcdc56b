"""Results of a change of the model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MigrationResult:
    """A change of the model that was committed.

    Attributes:
        method: `captures` or `map`.
        subjects: Number of subjects with templates of the new model.
        templates: Number of these templates.
        left_out: Names of the subjects that were left out; they are not enrolled any more.
        looks_left_out: Names of subject and look of the looks without captures, which were left out.
        looks_enrolled: Names of subject and look of the looks whose captures are the enrolment now, because no captures of
            the enrolment itself are stored.
        generation: Generation of the gallery.
    """

    method: str
    subjects: int
    templates: int
    left_out: tuple[str, ...]
    looks_left_out: tuple[tuple[str, str], ...]
    looks_enrolled: tuple[tuple[str, str], ...]
    generation: int


@dataclass(frozen=True)
class PendingMigration:
    """A change of the model that is neither confirmed nor undone.

    Attributes:
        generation: The generation that `undo` returns to.
        model_id: Model id of that generation, hex.
        method: `captures` or `map`.
        left_out: Number of the subjects that the change left out.
    """

    generation: int
    model_id: str
    method: str
    left_out: int
