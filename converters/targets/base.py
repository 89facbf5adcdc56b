"""The ``Target`` value: everything a conversion needs to know about one hardware platform.

A target is one constant of type ``Target``; ``converters.targets.targets`` lists the built-in ones and those of
plug-ins. No other module names a target: the choices of ``--target``, the order of a conversion, the section in the report and
``docs/reference/targets.md`` are derived from the value.

A conversion uses a target in this order:

1. ``network_rules`` check the canonical float network before anything is built (``edge-convert lint FLOAT`` does the same).
2. Each artefact in ``recipes`` is quantized by its recipe and rewritten by ``adapt``. ``file_rules`` check the result (``lint INTEGER`` does the
   same), and ``confirm`` runs it in the target's own tool if that is installed.
3. ``finish`` takes each artefact with its model card and returns the by-products to write next to it, such as compiled files.
4. All findings, tables and figures become the target's section of the report.

A ``refused`` finding in any of these steps ends the conversion before anything is written, unless the user ignores its rule with ``--allow``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from converters.errors import ConversionError
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.targets.rule import Rule, RuleFinding
from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends.litert import Kernels


@dataclass(frozen=True)
class Estimate:
    """Computed, not measured, time of one inference.

    Args:
        milliseconds: Time of one inference.
        basis: Source of the number: the formula and the clock rate, or the tool that computed it.
    """

    milliseconds: float
    basis: str


@dataclass(frozen=True)
class ReportTable:
    """Table for the report, such as operators with the processor that runs them. All cells are text as shown to the user."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TargetOption:
    """Option that a user can set for a target: ``--set ethos-u.accelerators=ethos-u65-256``.

    Args:
        name: Name without the target's prefix, such as ``accelerators``.
        default: Value if the user sets none.
        meaning: One line for docs/reference/targets.md.
    """

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class ArtefactFile:
    """Complete artefact, including its model card: the input of ``Target.finish``. By-products depend on nothing else.

    Args:
        file: File name, such as ``face.edgetpu_int8.tflite``.
        data: Content of the file: network, metadata and card.
        network: FlatBuffer of the network.
        card: Model card of the file.
        options: Value of every option of the target, by name.
    """

    file: str
    data: bytes
    network: Network
    card: ModelCard
    options: Mapping[str, str]

    @classmethod
    def parse(cls, file: str, data: bytes, options: Mapping[str, str]) -> ArtefactFile:
        """Split a file into its network and its card.

        Raises:
            ModelCardError: The file has no card, or a malformed one.
        """
        flatbuffer, files = split(data)
        if CARD_NAME not in files:
            raise ModelCardError(f"{file}: expected a model card inside, found none")
        return cls(file, data, Network(flatbuffer), ModelCard.from_bytes(files[CARD_NAME]), options)

    @property
    def stem(self) -> str:
        """File name without ``.tflite``; names of by-products begin with it."""
        return self.file.removesuffix(".tflite")

    @property
    def model_id(self) -> bytes:
        """SHA-256 of the whole file, 32 bytes; only embeddings with the same model id are comparable."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True)
class FinishResult:
    """Return value of ``Target.finish``.

    Args:
        files: By-products to write next to the artefact: name -> content.
        findings: Findings of the target's tool, such as an operator that the compiler left to the CPU, each with ``RuleFinding.rule`` set.
        tables: Tables for the report.
        figures: Single values for the report: label -> value with its unit.
        estimate: Latency computed by the target's tool; it replaces ``Target.estimate``. None if the tool computes no latency.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    findings: tuple[RuleFinding, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Target:
    """One hardware platform: the operators it runs, the rules it imposes, and the files it needs.

    Args:
        name: Name that ``--target`` takes.
        summary: One line: the hardware and its runtime.
        recipes: Artefacts to build: name -> shipped recipe, such as ``{"edgetpu_int8": "full_int8"}``. The artefact's file is
            ``MODEL.NAME.tflite``. The float network is built for every target.
        network_rules: Rules for the canonical float network. They report problems that conversion cannot remove.
        file_rules: Rules for the network of an artefact, float or integer.
        adapt: Rewrites an artefact's network into operators that the target supports, with bit-identical outputs.
        confirm: Runs an artefact's network in a tool, such as its interpreter, and returns findings that the rules cannot
            predict, each with ``RuleFinding.rule`` set.
        operators: Supported operators: name -> conditions in words, empty if there are none; for docs/reference/targets.md.
        finish: Generates by-products from an artefact; None if the target has none.
        by_products: Returns, for the stem of an artefact's file name, ``fnmatch`` patterns of the by-products that contain the
            artefact's SHA-256 (hex).
        estimate: Computes the time of one inference of an artefact's network; returns None if it is unknown.
        describe: Tables about an artefact's network for ``lint`` and the report, computed without any tool.
        options: Options that the user can set.
        kernels: LiteRT kernels whose arithmetic is closest to the hardware's. ``evaluate`` measures the target's files with them by default.
        on_xnnpack: True if LiteRT runs the target's files with XNNPACK, so that the gate on the number of partitions applies.
        notes: Further facts for docs/reference/targets.md: sources, versions, how to install a compiler.
    """

    name: str
    summary: str
    recipes: Mapping[str, str]
    network_rules: Sequence[Rule] = ()
    file_rules: Sequence[Rule] = ()
    adapt: Callable[[Network], Network] = lambda network: network
    confirm: Callable[[Network], tuple[RuleFinding, ...]] = lambda _: ()
    operators: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[ArtefactFile], FinishResult] | None = None
    by_products: Callable[[str], tuple[str, ...]] = lambda _: ()
    estimate: Callable[[Graph], Estimate | None] = lambda _: None
    describe: Callable[[Graph], tuple[ReportTable, ...]] = lambda _: ()
    options: tuple[TargetOption, ...] = ()
    kernels: Kernels = "xnnpack"
    on_xnnpack: bool = False
    notes: tuple[str, ...] = ()


def target_options(target: Target, values: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every option of a target: the user's value, or the default.

    Args:
        target: The target.
        values: ``TARGET.OPTION`` -> value, for this target and others.

    Raises:
        ConversionError: The target has no such option.
    """
    defaults = {option.name: option.default for option in target.options}
    prefix = f"{target.name}."
    chosen = {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
    unknown = sorted(set(chosen) - set(defaults))
    if unknown:
        expected = f"expected an option of {', '.join(defaults)}" if defaults else "expected no options"
        raise ConversionError(f"{target.name}: {expected}, found {unknown[0]!r}")
    return {**defaults, **chosen}
