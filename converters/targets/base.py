"""A target: what a piece of hardware runs, as a value.

How a target plugs in: a module ``converters/targets/NAME.py`` holds rules (see ``rule``) and one constant
``TARGET: Target``, and ``converters/targets/__init__.py`` lists it. Nothing else knows a target by name: the
command line's choices, the order of work, the report's section and ``docs/reference/targets.md`` come from the value.

What happens to it, in order:

1. ``network_rules`` see the canonical float network before anything is made (and ``edge-convert lint FLOAT``);
2. each of ``makes`` becomes an artefact by its recipe, in the form that ``adapt`` gives it; ``file_rules`` see its network (and ``lint INTEGER``),
   and ``confirm`` loads it where a tool for that is at hand;
3. ``finish`` gets each artefact with its card, gives files to write beside it and what it found while doing so;
4. all findings, tables and figures become the target's section of the report.

A finding that is ``refused``, in whichever of these, ends the conversion before anything is written, unless
the user allows that rule.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from converters.errors import ConversionError
from converters.graph.graph import Graph
from converters.targets.rule import Rule, RuleFinding
from edge_sdk.errors import ModelCardError
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import split
from edge_sdk.runtime.backends.litert import Kernels


@dataclass(frozen=True)
class Estimate:
    """How long one inference takes, not measured on the device.

    Args:
        milliseconds: Of one inference.
        basis: What it stands on: the formula and the clock, or the tool that said so.
    """

    milliseconds: float
    basis: str


@dataclass(frozen=True)
class Table:
    """Rows for the report: what runs where, cycles, sizes. Text as a person reads it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Setting:
    """Something a user may say to a target: ``--set ethos-u.accelerator=ethos-u65-256``.

    Args:
        name: After the target's name and a dot.
        default: Its value where nothing is said.
        meaning: One line for the help and the page.
    """

    name: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Finished:
    """An artefact as ``finish`` sees it: whole, with its card. What is made of it follows from it alone.

    Args:
        file: Its file name, such as ``face.edgetpu_int8.tflite``.
        data: The whole file: network, metadata, card.
        network: The FlatBuffer in it.
        card: What it says of itself.
        settings: Every setting of the target, by name.
    """

    file: str
    data: bytes
    network: bytes
    card: ModelCard
    settings: Mapping[str, str]

    @classmethod
    def of(cls, file: str, data: bytes, settings: Mapping[str, str]) -> Finished:
        """Take a whole file apart.

        Raises:
            ModelCardError: No card inside, or a malformed one.
        """
        network, files = split(data)
        if CARD_NAME not in files:
            raise ModelCardError(f"{file}: expected a model card inside, found none")
        return cls(file, data, network, ModelCard.from_bytes(files[CARD_NAME]), settings)

    @property
    def stem(self) -> str:
        """The file's name without ``.tflite``: what stands beside it begins with that."""
        return self.file.removesuffix(".tflite")

    @property
    def model_id(self) -> bytes:
        """SHA-256 of the whole file, 32 bytes: embeddings are compared under one id alone."""
        return hashlib.sha256(self.data).digest()


@dataclass(frozen=True)
class Finishing:
    """What ``finish`` made and found.

    Args:
        files: Name -> content, written beside the artefact.
        findings: Such as an operator that a compiler left to the CPU; named by ``RuleFinding.rule``.
        tables: For the report.
        figures: Short facts for the report: what -> value with its unit.
        estimate: Where a tool said how long it takes; it replaces ``Target.estimate``.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    findings: tuple[RuleFinding, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: Mapping[str, str] = field(default_factory=dict)
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Target:
    """What a piece of hardware runs, what it refuses, how a file for it is finished.

    Args:
        name: As ``--target`` takes it.
        summary: One line: which hardware, through which runtime.
        makes: Artefact name -> shipped recipe, such as ``{"edgetpu_int8": "full_int8"}``; the artefact's file
            is ``MODEL.NAME.tflite``. The float network itself is made in any case.
        network_rules: Over the canonical float network: what converting it for this target comes to.
        file_rules: Over the finished network, float or integer.
        adapt: The same network in operators that the target takes: the same integers for every input.
        confirm: What a tool says of a finished network, such as loading it: findings that the rules, which only
            look, cannot know. Named by ``RuleFinding.rule``.
        operators: Operator -> under which condition the target takes it (empty: always); for the page.
        finish: From an artefact of ``makes`` to what lies beside it; None where nothing does.
        beside: From the stem of an artefact's name to the names, as ``fnmatch`` has them, of those files that
            ``finish`` writes and that name the SHA-256 (hex) of the file they were made of.
        estimate: Time of one inference of a finished network, None where nothing can be said.
        describe: Tables about a finished network that need no tool, for ``lint`` and the report.
        settings: What a user may say to it.
        kernels: LiteRT's kernels that compute as its hardware does, or nearest to it: its files are measured
            with them where nobody says others.
        on_xnnpack: Whether LiteRT's CPU delegate runs its files: the gate on partitions holds for them.
        notes: What else the page should say: sources, versions, where a compiler comes from.
    """

    name: str
    summary: str
    makes: Mapping[str, str]
    network_rules: Sequence[Rule] = ()
    file_rules: Sequence[Rule] = ()
    adapt: Callable[[bytes], bytes] = lambda network: network
    confirm: Callable[[bytes], tuple[RuleFinding, ...]] = lambda _: ()
    operators: Mapping[str, str] = field(default_factory=dict)
    finish: Callable[[Finished], Finishing] | None = None
    beside: Callable[[str], tuple[str, ...]] = lambda _: ()
    estimate: Callable[[Graph], Estimate | None] = lambda _: None
    describe: Callable[[Graph], tuple[Table, ...]] = lambda _: ()
    settings: tuple[Setting, ...] = ()
    kernels: Kernels = "xnnpack"
    on_xnnpack: bool = False
    notes: tuple[str, ...] = ()


def settings_of(target: Target, said: Mapping[str, str]) -> dict[str, str]:
    """A target's settings: what the user said, else the defaults.

    Args:
        target: Whose.
        said: ``target.setting`` -> value, of this target and others.

    Raises:
        ConversionError: The target has no such setting.
    """
    known = {setting.name: setting.default for setting in target.settings}
    mine = {
        name.split(".", 1)[1]: value for name, value in said.items() if name.startswith(f"{target.name}.")
    }
    unknown = sorted(set(mine) - set(known))
    if unknown:
        raise ConversionError(
            f"{target.name}: expected a setting of {', '.join(known) or 'none'}, found {unknown[0]!r}"
        )
    return {**known, **mine}
