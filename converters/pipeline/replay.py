"""Replay of saved recipes: which artefacts they build, and the contract and statistics that they contain."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.analyze.collapse import RULE, CollapseCheck
from converters.analyze.contract import ContractCheck
from converters.analyze.replay_check import EMBEDDING
from converters.errors import ConversionError, OptionsError
from converters.pipeline.build import recipes_of, with_saved
from converters.pipeline.options import ConversionOptions, Replay
from converters.quantize.recipe import Recipe
from converters.quantize.recorded import Recording
from converters.quantize.saved_recipe import SavedRecipe, read_saved
from converters.targets.base import Target
from edge_sdk.model.array_contract import AnyContract


@dataclass(frozen=True, eq=False)
class RecipePlan:
    """Recipe of every artefact of a conversion.

    Args:
        recipes: The recipes in the order of the artefacts.
        saved: The recipe files by the name of their recipe; empty without a replay.
        contract: The input contract.
        without_images: True if statistics of the recipe files are replayed, and there are no calibration images.
    """

    recipes: tuple[Recipe, ...]
    saved: dict[str, SavedRecipe]
    contract: AnyContract
    without_images: bool

    @property
    def recordings(self) -> dict[str, Recording]:
        """The recording of every artefact that is replayed without images, by the name of its recipe."""
        if not self.without_images:
            return {}
        return {name: saved.recording for name, saved in self.saved.items() if saved.recording is not None}


def plan_recipes(options: ConversionOptions, targets: Sequence[Target]) -> RecipePlan:
    """Read the recipe files of a replay, and check that they suffice for all artefacts.

    Raises:
        ConversionError: A recipe file cannot be read or fits no artefact, or an artefact needs calibration images.
        OptionsError: The options contradict a recipe file.
    """
    recipes = recipes_of(targets)
    saved: dict[str, SavedRecipe] = {}
    if isinstance(options.quantization, Replay):
        for path in options.quantization.files:
            file = read_saved(path)
            _check_distillation(file, options)
            recipes = with_saved(recipes, file.recipe, path)
            if file.recipe.name in saved:
                raise OptionsError(
                    f"{path}: expected one recipe for {file.recipe.name}, found a second in {saved[file.recipe.name].path}"
                )
            saved[file.recipe.name] = file
    without_images = options.calibration is None
    if without_images:
        _require_statistics(recipes, saved)
    return RecipePlan(tuple(recipes), saved, _contract(options, saved), without_images)


def notes_on_sources(options: ConversionOptions) -> list[str]:
    """List recipe files that were saved for another source file; their replay may still be exact, if the networks are equal.

    Raises:
        ConversionError: A recipe file cannot be read.
    """
    if not isinstance(options.quantization, Replay) or not Path(options.model).is_file():
        return []
    with Path(options.model).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    notes = []
    for path in options.quantization.files:
        source = read_saved(path).value.get("source")
        recorded = source.get("sha256") if isinstance(source, dict) else None
        if isinstance(recorded, str) and recorded != digest:
            name = source.get("file") if isinstance(source, dict) else None
            notes.append(
                f"{path} was saved for another file than {options.model}: {name or 'unknown'}, SHA-256 {recorded[:12]}..., found"
                f" {digest[:12]}...; it fits only if both contain the same network"
            )
    return notes


def _check_distillation(saved: SavedRecipe, options: ConversionOptions) -> None:
    if saved.recipe.distillation_steps and options.distillation is not None:
        raise OptionsError(
            f"{saved.path}: expected no time for distillation, because the recipe sets"
            f" {saved.recipe.distillation_steps} steps; found {options.distillation.minutes:g} minutes",
            hint="leave --recover out to repeat the distillation of the recipe",
        )


def _require_statistics(recipes: Sequence[Recipe], saved: dict[str, SavedRecipe]) -> None:
    """Check that every int8 artefact has a recipe with statistics.

    Raises:
        ConversionError: Some have none; the message names them.
    """
    reasons = []
    for recipe in recipes:
        if recipe.precision != "int8":
            continue
        file = saved.get(recipe.name)
        reason = "has no recipe file" if file is None else file.missing() or _no_embedding(file)
        if reason:
            reasons.append(f"{recipe.name} {reason}")
    if reasons:
        raise ConversionError(
            f"expected calibration images, or a recipe with statistics for every int8 file; {'; '.join(reasons)}",
            hint="give --calibration IMAGES, or --recipe once for each int8 file with a recipe that this version saved",
        )


def _no_embedding(saved: SavedRecipe) -> str:
    """Return why a recording is not that of an embedding network; empty if it is."""
    figures = {"cosine_mean", "cosine_min", "worst_image"}
    recording = saved.recording
    if recording is not None and figures <= set(recording.fidelity) and set(recording.outputs) == {EMBEDDING}:
        return ""
    return "has statistics of a network without an embedding"


def _contract(options: ConversionOptions, saved: dict[str, SavedRecipe]) -> AnyContract:
    """Return the given contract, or that of the recipes.

    Raises:
        ConversionError: There is none, or two contradict each other.
    """
    contract = options.contract
    origin = "the options give"
    for file in saved.values():
        if file.recording is None:
            continue
        if contract is None:
            contract, origin = file.recording.contract, f"{file.path} has"
        elif file.recording.contract != contract:
            raise ConversionError(
                f"{file.path}: expected the input contract of its recipe, {file.recording.contract.describe()},"
                f" but {origin} {contract.describe()}",
                hint="leave the contract out to use that of the recipe",
            )
    if contract is None:
        raise ConversionError(
            "expected an input contract, and the recipe contains none",
            hint="give --size, --color and --range, or --contract FILE.json",
        )
    return contract


def recorded_contract_check(check: ContractCheck, saved: dict[str, SavedRecipe]) -> ContractCheck:
    """Combine the check of the network's own normalization with the check by images at recording.

    A contract that the user allowed at recording counts as refused, so that it must be allowed for the replay too.
    """
    if check.status == "refused":
        return check
    for file in saved.values():
        source = file.value.get("source")
        summary = source.get("input_contract") if isinstance(source, dict) else None
        if isinstance(summary, dict) and summary.get("status") in (
            "agrees",
            "undecided",
            "doubtful",
            "allowed",
        ):
            status = str(summary["status"])
            return replace(
                check,
                status="refused" if status == "allowed" else status,
                reason=str(summary.get("reason", "")),
                better=str(summary.get("better", "")),
            )
    return check


def recorded_collapse(saved: dict[str, SavedRecipe]) -> CollapseCheck | None:
    """Return the collapse that the user allowed at recording, so that it must be allowed for the replay too; None without one.

    Raises:
        ConversionError: The figures in a recipe file are malformed.
    """
    for file in saved.values():
        source = file.value.get("source")
        if isinstance(source, dict) and RULE in source:
            try:
                return CollapseCheck.from_json(source[RULE])
            except ConversionError as error:
                raise ConversionError(f"{file.path}: {error}") from error
    return None
