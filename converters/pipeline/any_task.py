"""Convert a network of any task, such as a pose network: no embedding, any named outputs, an error for each of them.

The conversion uses the targets, rules and gates of ``convert``. It makes no search and generates no by-products of targets, and the SDK does
not decode the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.analyze import gates
from converters.analyze.golden_vectors import make_output_golden_vectors
from converters.analyze.output_errors import OutputValues, output_errors, output_values, output_variation
from converters.data.calibration import CalibrationSet, read_calibration
from converters.errors import OptionsError
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.output import check_name, staged, write_all
from converters.pipeline.artefacts import json_bytes
from converters.pipeline.auxiliary_int8 import write_network
from converters.pipeline.auxiliary_report import AuxiliaryArtefact, AuxiliaryReport
from converters.pipeline.build import recipes_of
from converters.pipeline.measured_images import describe_calibration
from converters.pipeline.options import ConversionOptions, known_targets
from converters.pipeline.output_network import OutputNetwork, read_output_network
from converters.pipeline.refusals import Refusals
from converters.progress import stage
from converters.quantize.ai_edge_quantizer import quantize_dynamic
from converters.quantize.float16 import to_float16
from converters.quantize.int8 import quantize_int8
from converters.quantize.recipe import Recipe
from converters.quantize.statistics import ChannelStatistics, channel_statistics
from converters.targets.base import Target
from converters.targets.check import (
    NetworkReport,
    TargetReport,
    check_file,
    check_float_network,
    raise_if_refused,
)
from converters.targets.mobile.target import one_input_one_output
from converters.targets.operator_table import parse_for_rules
from converters.targets.rule import Rule, name_of
from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import OTHER_TASK, NetworkCard

_WEIGHT_SHARE = 0.5
#: Rules that allow only the one output of an embedding network.
_RULES_OF_EMBEDDINGS = (name_of(one_input_one_output),)


def convert_any_task(options: ConversionOptions) -> AuxiliaryReport:
    """Convert a network of any task; every target that accepts it gets its files.

    Args:
        options: Options of the conversion, with the task ``none``.

    Returns:
        The report; ``refused`` lists the targets that refused the network, ``inaccurate`` the files with an output whose error
        is too large.

    Raises:
        OptionsError: The task is not ``none``.
        SourceError: The model cannot be read or converted.
        CalibrationError: The calibration images cannot be used.
        ConversionError: Every target refuses the network, or the output cannot be written.
    """
    if options.task != "none" or not isinstance(options.contract, InputContract):
        raise OptionsError(f"task: expected none with an input contract of images, found {options.task!r}")
    check_name(options.model_name)
    targets = known_targets(options.targets)
    with staged(options.output) as folder:
        with stage("read calibration images") as progress:
            images = read_calibration(str(options.calibration), options.contract, progress=progress)
        model = read_output_network(options.model, options.contract, images, allowed=("onnx", "tflite"))
        conversion = _Conversion(options, model, images, folder)
        conversion.write("float32", model.network)
        refusals = Refusals(targets)
        sections = []
        for target in targets:
            with refusals.of_target(target):
                sections.append(conversion.convert(_for_any_task(target)))
        report = AuxiliaryReport(
            name=options.model_name,
            method="other task",
            contract=model.contract,
            source=model.source,
            notes=(*model.notes, *conversion.notes),
            agreement=model.agreement,
            artefacts=tuple(conversion.artefacts),
            targets=tuple(sections),
            refused=refusals.refused,
        )
        write_all(folder, {f"{report.name}.report.json": json_bytes(report.to_json())})
    return report


def _for_any_task(target: Target) -> Target:
    """Return a target without its rules about embeddings."""

    def kept(rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if name_of(rule) not in _RULES_OF_EMBEDDINGS)

    return replace(target, network_rules=kept(target.network_rules), file_rules=kept(target.file_rules))


@dataclass(eq=False)
class _Conversion:
    """Networks and files of one conversion; equal recipes of several targets are built once."""

    options: ConversionOptions
    model: OutputNetwork
    images: CalibrationSet
    folder: Path
    artefacts: list[AuxiliaryArtefact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _built: dict[Recipe, tuple[Network, Recipe]] = field(default_factory=dict)

    @cached_property
    def _held_out(self) -> OutputValues:
        with stage("measure float32"):
            return output_values(self.model.network, self._card(), self.images.held_out.pixels)

    @cached_property
    def _selection(self) -> OutputValues:
        return output_values(self.model.network, self._card(), self.images.selection.pixels)

    @cached_property
    def _variation(self) -> dict[str, float]:
        return output_variation(self._held_out)

    @cached_property
    def _statistics(self) -> Mapping[str, ChannelStatistics]:
        return channel_statistics(self.model.network, self.model.contract, self.images.ranges.pixels)

    @cached_property
    def _unsupported(self) -> list[str]:
        return sorted(set(xnnpack_partitions(self.model.network).outside))

    def convert(self, target: Target) -> TargetReport:
        """Build and check the artefacts of a target, and write them if every check passes."""
        float_part = check_float_network(target, parse_for_rules(self.model.network))
        raise_if_refused(target.name, [float_part], self.options.allow)
        parts: list[NetworkReport] = [float_part]
        checked = []
        recipes = {recipe.name: recipe for recipe in recipes_of([target])}
        for name in target.recipes:
            network, recipe = self._build(recipes[name])
            network = target.adapt(network)
            outcomes = self._require_gates(network, recipe)
            part = check_file(target, network, self._file(name))
            raise_if_refused(target.name, [part], self.options.allow)
            parts.append(part)
            checked.append((recipe, network, outcomes))
        for recipe, network, outcomes in checked:
            if self._file(recipe.name) not in [artefact.file for artefact in self.artefacts]:
                self.notes += [gate.note(self._file(recipe.name)) for gate in outcomes if gate.allowed]
                self.write(recipe.name, network, recipe)
        return TargetReport(target.name, target.summary, tuple(parts))

    def write(self, name: str, network: Network, recipe: Recipe | None = None) -> None:
        """Write a network with its card; measure it if it is not the float network."""
        card, errors = self._card(), dict[str, float]()
        if recipe is not None:
            with stage(f"measure {recipe.name}"):
                errors = output_errors(
                    self._held_out, output_values(network, card, self.images.held_out.pixels)
                )
            fidelity = {
                "error_share": errors,
                "variation_share": self._variation,
                "images": len(self.images.held_out),
                "held_out": self.images.split,
            }
            card = replace(card, precision=recipe.precision, recipe=recipe.to_json(), fidelity=fidelity)
            if recipe.precision == "int8":
                card = replace(card, calibration=describe_calibration(self.images))
        with stage(f"compute golden vectors of {name}"):
            golden = make_output_golden_vectors(network, card.input, card.outputs)
        artefact = write_network(self.folder, self._file(name), network, replace(card, golden=golden), errors)
        self.artefacts.append(replace(artefact, variation=self._variation if errors else {}))

    def _file(self, name: str) -> str:
        return f"{self.options.model_name}.{name}.tflite"

    def _card(self) -> NetworkCard:
        return NetworkCard(
            name=self.options.model_name,
            task=OTHER_TASK,
            method="",
            precision="float32",
            input=self.model.contract,
            outputs=self.model.outputs,
            network_sha256="",
            version=self.options.version,
            licence=self.options.licence,
            source=self.model.source,
        )

    def _build(self, recipe: Recipe) -> tuple[Network, Recipe]:
        """Build a network; return it with the recipe that it was built by."""
        nameless = replace(recipe, name="", target="", partitions=0)
        if nameless not in self._built:
            with stage(f"build {recipe.name}"):
                self._built[nameless] = self._network(nameless)
        network, chosen = self._built[nameless]
        named = replace(chosen, name=recipe.name, target=recipe.target, partitions=recipe.partitions)
        return network, named

    def _network(self, recipe: Recipe) -> tuple[Network, Recipe]:
        network = self.model.network
        if recipe.precision == "float32":
            return network, recipe
        if recipe.precision == "float16":
            return to_float16(network), recipe
        if recipe.precision == "dynamic":
            return quantize_dynamic(network, float_operators=recipe.float_operators), recipe
        return self._int8(recipe)

    def _int8(self, recipe: Recipe) -> tuple[Network, Recipe]:
        """Quantize plainly and after equalization with ranges of least error and bias correction; keep the network with the lower errors.

        Their product is compared, so that no output dominates: the score of a network that finds nothing varies little.
        """
        pixels = self.images.ranges.pixels
        contract = self.model.contract
        equalized = replace(
            recipe,
            ranges="mse",
            equalize="all",
            scale_clips=True,
            weight_share=_WEIGHT_SHARE,
            bias_correction=True,
        )
        built = [
            (
                quantize_int8(self.model.network, candidate, self._statistics, contract, pixels).network,
                candidate,
            )
            for candidate in (recipe, equalized)
        ]

        def loss(item: tuple[Network, Recipe]) -> float:
            measured = output_values(item[0], self._card(), self.images.selection.pixels)
            return float(np.log(1e-9 + np.array([*output_errors(self._selection, measured).values()])).sum())

        return min(built, key=loss)

    def _require_gates(self, network: Network, recipe: Recipe) -> list[gates.Gate]:
        outcomes = gates.check_structure(
            network, recipe, unsupported=self._unsupported, allow=self.options.allow
        )
        gates.raise_if_failed(recipe.name, outcomes)
        return outcomes
