"""Read a recipe file that a conversion saved beside its artefact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.graph.network import Network
from converters.quantize.int8 import QuantizedNetwork, replay_int8
from converters.quantize.recipe import Recipe
from converters.quantize.recorded import Recording

#: Largest size of a recipe file, in MiB. The statistics of a face network take less than one.
MAX_MIB = 16


@dataclass(frozen=True, eq=False)
class SavedRecipe:
    """A recipe file.

    Args:
        path: The file.
        recipe: Its recipe.
        recording: Its recorded statistics; None for a file without them.
        value: The file as JSON values.
    """

    path: Path
    recipe: Recipe
    recording: Recording | None
    value: Mapping[str, Any]

    def replay(self, network: Network) -> QuantizedNetwork:
        """Quantize a canonical float network with the recorded statistics.

        Raises:
            ConversionError: The file has no statistics, or they are those of another network.
        """
        if self.recording is None:
            raise ConversionError(f"{self.path}: this recipe {self.missing()}")
        try:
            return replay_int8(network, self.recipe, self.recording.statistics)
        except ConversionError as error:
            raise ConversionError(f"{self.path}: {error}", hint=error.hint) from error

    def missing(self) -> str:
        """Return why the recipe cannot be replayed without images; empty if it can."""
        if self.recipe.distillation_steps:
            return "is distilled: training makes new weights, and needs images"
        return "has no statistics" if self.recording is None else ""


def read_saved(path: str | Path) -> SavedRecipe:
    """Read a recipe file, such as the one saved next to an artefact.

    Raises:
        ConversionError: The file is missing, is not JSON, or is malformed.
    """
    value = _read_object(path)
    try:
        recipe = Recipe.from_json(value)
        recording = Recording.from_json(value) if "statistics" in value else None
    except ConversionError as error:
        raise ConversionError(f"{path}: {error}", hint=error.hint) from error
    return SavedRecipe(Path(path), recipe, recording, value)


def _read_object(path: str | Path) -> dict[str, Any]:
    try:
        file = Path(path)
        if file.exists() and not file.is_file() and not file.is_dir():
            raise ConversionError(f"{path}: expected a recipe in JSON, found a device or a pipe")
        if file.stat().st_size > MAX_MIB << 20:
            raise ConversionError(f"{path}: expected a recipe of at most {MAX_MIB} MiB")
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected a recipe in JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: expected a recipe, found {type(value).__name__}")
    return value
