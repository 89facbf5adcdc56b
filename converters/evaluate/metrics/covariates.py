"""Covariates of subjects or images, such as age band, skin tone, camera or glasses, and the groups they form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converters.evaluate.metrics.cosines import IntArray
from edge_sdk.errors import InputError

MAX_COVARIATES = 16
MAX_GROUPS = 32
NAMES_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of one covariate.

    Attributes:
        covariate: Name of the covariate.
        groups: Names of the groups, sorted; two or more.
        codes: Shape (n,), int64: group of each image, 0..G-1; -1 for an image without a group.
    """

    covariate: str
    groups: tuple[str, ...]
    codes: IntArray


@dataclass(frozen=True, eq=False)
class Covariates:
    """Values of covariates for subjects or for images.

    Attributes:
        name, digest: Name and SHA-256 of the file.
        of_images: True if a row describes an image, False if it describes a subject.
        covariates: Names of the covariates, 1..16.
        rows: Values of each subject or image, in the order of `covariates`.
    """

    name: str
    digest: str
    of_images: bool
    covariates: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    def check(self, names: Iterable[str], subjects: Iterable[str]) -> tuple[str, ...]:
        """Compare the rows with the data set.

        Args:
            names, subjects: Name and subject of each image of the data set.

        Returns:
            The subjects (or images) of the data set without a row, sorted.

        Raises:
            InputError: A row names an unknown subject or image, or no subject or image has a row.
        """
        kind, known = ("image", set(names)) if self.of_images else ("subject", set(subjects))
        unknown = sorted(set(self.rows) - known)
        missing = tuple(sorted(known - set(self.rows)))
        if len(missing) == len(known):
            raise InputError(
                f"expected rows for the {len(known)} {kind}s of the data set in {self.name}, found none",
                hint=f"the first column holds {'subject/file' if self.of_images else 'the name of the folder'}"
                f", such as {missing[0] if missing else kind}",
            )
        if unknown:
            raise InputError(
                f"expected {kind}s of the data set in {self.name}, found {len(unknown)} unknown: {_some(unknown)}",
                hint=f"remove their rows, or correct the names of the {kind}s",
            )
        return missing

    def groupings(self, names: Sequence[str], subjects: Sequence[str]) -> tuple[Grouping, ...]:
        """Assign a group to each embedded image, for each covariate.

        Args:
            names, subjects: Name and subject of each embedded image, shape (n,).

        Raises:
            InputError: A covariate has one group, or more than 32.
        """
        keys = list(names if self.of_images else subjects)
        groupings = []
        for place, covariate in enumerate(self.covariates):
            values = [self.rows[key][place] if key in self.rows else None for key in keys]
            groups = tuple(sorted({value for value in values if value is not None}))
            if not 2 <= len(groups) <= MAX_GROUPS:
                raise InputError(
                    f"expected 2..{MAX_GROUPS} groups of {covariate} in {self.name}, found {len(groups)}",
                    hint="join values to bands, such as ages to 18-39, 40-59 and 60+"
                    if groups[1:]
                    else "remove the column, or correct its values",
                )
            code = {group: number for number, group in enumerate(groups)}
            codes = [-1 if value is None else code[value] for value in values]
            groupings.append(Grouping(covariate, groups, np.array(codes, dtype=np.int64)))
        return tuple(groupings)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    return f"{shown}, ..." if len(names) > NAMES_SHOWN else shown
