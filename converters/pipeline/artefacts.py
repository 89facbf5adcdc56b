"""Make the files of one artefact: the network with its card, and the recipe file from which it can be built again."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from converters.analyze import gates
from converters.analyze.golden_vectors import make_golden_vectors
from converters.analyze.replay_check import ReplayCheck, record_embeddings
from converters.evaluate.metrics.score_noise import ScoreNoise
from converters.graph.attach_card import with_card
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.pipeline.build import BuiltNetwork
from converters.pipeline.measured_images import MeasuredImages, describe_calibration
from converters.pipeline.options import ConversionOptions
from converters.pipeline.timing import InferenceTimes
from converters.quantize.recipe import Recipe
from converters.quantize.recorded import Recording
from converters.quantize.saved_recipe import SavedRecipe
from converters.results import ArtefactResult
from converters.sources.float_model import FloatModel
from converters.targets.base import ArtefactFile
from edge_sdk.model.card import ModelCard
from edge_sdk.runtime.backends.litert import LiteRtBackend


@dataclass(frozen=True)
class Artefact:
    """One artefact in memory.

    Args:
        file: The network with its card, in the form that target rules read.
        files: All files of the artefact: name -> content.
        result: Its row in the report.
    """

    file: ArtefactFile
    files: Mapping[str, bytes]
    result: ArtefactResult


@dataclass(frozen=True, eq=False)
class ArtefactMaker:
    """Makes the artefacts of one conversion.

    Args:
        options: Options of the conversion.
        model: The float network.
        images: Images on which networks are checked.
        unsupported: Kinds of operators that XNNPACK does not run in the float network either.
        saved: The recipe files of a replay by the name of their recipe.
        replays: Result of the replay of each artefact by the name of its recipe; empty if images were used.
    """

    options: ConversionOptions
    model: FloatModel
    images: MeasuredImages
    unsupported: Collection[str]
    saved: Mapping[str, SavedRecipe]
    replays: Mapping[str, ReplayCheck]

    def make(
        self,
        built: BuiltNetwork,
        outcomes: tuple[gates.Gate, ...],
        measured: Mapping[str, Any],
        times: InferenceTimes,
        budget: tuple[str, bool],
    ) -> Artefact:
        """Make an artefact with its card, and its recipe as a separate file.

        Args:
            built: The network.
            outcomes: Outcome of each gate.
            measured: Its fidelity on ``images``.
            times: Its times.
            budget: The budget it is judged by, as text, and whether it keeps the budget.
        """
        recipe = built.recipe
        fidelity, basis = measured, self.images.basis
        recording = self._recorded(recipe)
        if recording is not None and self.replays[recipe.name].same_bytes:
            fidelity, basis = recording.fidelity, "recorded"
        allowed = {gate.name: gate.found for gate in outcomes if gate.allowed}
        card = self._card(built, fidelity, allowed)
        data = with_card(built.network, card)
        file = ArtefactFile.parse(f"{self.options.model_name}.{recipe.name}.tflite", data, {})
        saved = json_bytes(self._recipe_file(built, card))
        result = ArtefactResult(
            file=file.file,
            recipe=recipe.name,
            precision=recipe.precision,
            size_bytes=len(data),
            operators=built.network.graph.operator_counts(),
            partitions=xnnpack_partitions(built.network).count,
            gates=outcomes,
            cosine_mean=fidelity["cosine_mean"],
            cosine_min=fidelity["cosine_min"],
            worst_image=fidelity["worst_image"],
            latency_ms=times.wall_ms,
            processor_ms=times.processor_ms,
            time_ratio=times.ratio,
            measured_on=fidelity["images"],
            basis=basis,
            held_out=bool(fidelity.get("held_out", True)),
            noise=ScoreNoise.of_figures(fidelity.get("score_noise")),
            goal=budget[0],
            met=budget[1],
        )
        return Artefact(file, {file.file: data, f"{file.stem}.recipe.json": saved}, result)

    def require_gates(self, network: Network, recipe: Recipe) -> tuple[gates.Gate, ...]:
        """Check an artefact against every gate and return their outcomes.

        Raises:
            GateError: A gate failed that the options do not allow.
        """
        outcomes = gates.check(
            network,
            recipe,
            self.model.contract,
            self.images.crops,
            unsupported=self.unsupported,
            allow=self.options.allow,
        )
        gates.raise_if_failed(recipe.name, outcomes)
        return outcomes

    def _recorded(self, recipe: Recipe) -> Recording | None:
        return self.saved[recipe.name].recording if recipe.name in self.replays else None

    def _card(
        self, built: BuiltNetwork, fidelity: Mapping[str, Any], allowed_gates: Mapping[str, str]
    ) -> ModelCard:
        recipe, model = built.recipe, self.model
        backend = LiteRtBackend(built.network.data)
        output = backend.output
        card = ModelCard(
            name=self.options.model_name,
            version=self.options.version,
            target=recipe.target,
            precision=recipe.precision,
            dimension=model.dimension,
            input=model.contract,
            network_sha256="",
            output_scale=output.scale,
            output_zero_point=output.zero_point,
            description=self.options.description,
            licence=self.options.licence,
            recipe=recipe.to_json(),
            source={**model.source, **({"allowed_gates": allowed_gates} if allowed_gates else {})},
            fidelity=fidelity,
            golden=make_golden_vectors(built.network, model.contract),
            input_tensor=backend.input.stated(),
        )
        return replace(card, calibration=self._calibration(recipe)) if recipe.precision == "int8" else card

    def _calibration(self, recipe: Recipe) -> Mapping[str, Any]:
        recording = self._recorded(recipe)
        if recording is not None:
            return recording.calibration
        images = self.images.calibration
        return {} if images is None else describe_calibration(images)

    def _recipe_file(self, built: BuiltNetwork, card: ModelCard) -> Mapping[str, Any]:
        """Return the content of the recipe file; that of a replay is the replayed one, so that the reference stays the same."""
        recipe = built.recipe
        if self._recorded(recipe) is not None:
            return self.saved[recipe.name].value
        saved = {
            **recipe.to_json(),
            "calibration": card.calibration,
            "tools": tool_versions(),
            "source": self.model.source,
        }
        if built.statistics is None:
            return saved
        model = self.model
        recording = Recording(
            contract=model.contract,
            statistics=built.statistics,
            float_sha256=model.network.digest,
            int8_sha256=built.network.digest,
            calibration=card.calibration,
            fidelity=card.fidelity,
            outputs=record_embeddings(built.network, model.network, model.contract),
        )
        return {**saved, **recording.to_json()}


def tool_versions() -> dict[str, str]:
    """Return the versions of the packages that decide the bytes of an int8 network."""
    names = ("ai-edge-quantizer", "ai-edge-litert", "numpy")
    return {name: metadata.version(name) for name in names}


def json_bytes(value: Any) -> bytes:
    """Encode JSON values as the text of a file."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
