"""Refusals of single targets and files during a conversion, so that the others continue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from converters.errors import CalibrationError, ConversionError, OptionsError, SourceError
from converters.refused import RefusedFile, RefusedTarget
from converters.targets.base import Target

#: Recipe of the float network, which every target needs.
_FLOAT = "float32"
#: Errors of the user's input, which concern every target.
_OF_INPUT = (CalibrationError, OptionsError, SourceError)


class Refusals:
    """Collects the error of each target and of each file that was refused.

    Args:
        targets: All targets of the conversion.
    """

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = tuple(targets)
        self._errors: dict[str, ConversionError] = {}
        self._files: dict[str, tuple[str, ConversionError]] = {}

    @property
    def passing(self) -> tuple[Target, ...]:
        """The targets that were not refused so far."""
        return tuple(target for target in self._targets if target.name not in self._errors)

    @property
    def refused(self) -> tuple[RefusedTarget, ...]:
        """The targets that were refused, in the order of the options."""
        return tuple(
            RefusedTarget(target.name, str(error), error.hint or "")
            for target in self._targets
            if (error := self._errors.get(target.name)) is not None
        )

    @property
    def refused_files(self) -> tuple[RefusedFile, ...]:
        """The files that were refused while a target that needs them passes."""
        return tuple(
            RefusedFile(file, str(error), error.hint or "")
            for recipe, (file, error) in self._files.items()
            if self._users(recipe)
        )

    def needs(self, recipe: str) -> bool:
        """Return True if a passing target needs the artefact of a recipe, and the artefact was not refused."""
        return recipe not in self._files and bool(self._users(recipe))

    @contextmanager
    def of_target(self, target: Target) -> Iterator[None]:
        """Record a ConversionError of the block as the refusal of a target; raises it if no target is left."""
        try:
            yield
        except _OF_INPUT:
            raise
        except ConversionError as error:
            self._record([target], error)

    @contextmanager
    def of_recipe(self, recipe: str) -> Iterator[None]:
        """Record a ConversionError of the block as the refusal of every target that needs the artefact of a recipe."""
        try:
            yield
        except _OF_INPUT:
            raise
        except ConversionError as error:
            self._record(self._users(recipe), error)

    @contextmanager
    def of_file(self, recipe: str, file: str) -> Iterator[None]:
        """Record a ConversionError of the block as the refusal of one file; it refuses the targets that have no other file.

        Args:
            recipe: The recipe of the file.
            file: Its name.
        """
        try:
            yield
        except ConversionError as error:
            self._files[recipe] = file, error
            without = [
                target for target in self._users(recipe) if set(target.recipes) <= {*self._files, _FLOAT}
            ]
            if without:
                self._record(without, error)

    def _users(self, recipe: str) -> list[Target]:
        return [target for target in self.passing if recipe == _FLOAT or recipe in target.recipes]

    def _record(self, targets: Sequence[Target], error: ConversionError) -> None:
        self._errors.update({target.name: error for target in targets})
        if self.passing:
            return
        first = next(iter(self._errors.values()))
        also = [name for name, other in self._errors.items() if other is not first]
        others = f"; also refused: {', '.join(also)}" if also else ""
        first.args = (f"{first}{others}; nothing was written",)
        raise first
