"""Networks of a defined kit: choose the public files, get them, and convert them by their recipes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from converters.analyze.replay_check import ReplayCheck
from converters.kit.definition import KitNetwork
from converters.pipeline.auxiliary import AuxiliaryRequest, convert_auxiliary
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions, Plain, Replay
from converters.progress import stage
from converters.quantize.saved_recipe import read_saved
from edge_sdk import zoo
from edge_sdk.errors import ModelError
from edge_sdk.kit.manifest import Role
from edge_sdk.zoo import ZooEntry
from edge_sdk.zoo.mirror import MIRROR, mirror_folder


@dataclass(frozen=True)
class ConvertedNetwork:
    """A converted network of a kit.

    Args:
        network: Its definition.
        entry: Zoo entry of the file that was converted.
        data: Content of the .tflite.
        replay: Comparison with the network that was recorded in the recipe; None for a float network.
    """

    network: KitNetwork
    entry: ZooEntry
    data: bytes
    replay: ReplayCheck | None

    @property
    def recorded_sha256(self) -> str:
        """SHA-256 of the int8 network that the recipe records, hex; empty for a float network."""
        if self.network.recipe is None:
            return ""
        recording = read_saved(self.network.recipe).recording
        return "" if recording is None else recording.int8_sha256

    @property
    def made(self) -> str:
        """Precision of the network and the result of its replay, one line."""
        return "float32" if self.replay is None else f"int8, {self.replay.line()}"


def choose_entry(network: KitNetwork) -> ZooEntry:
    """Choose the zoo entry of a network: the first one in the mirror folder, or the first one if there is no mirror.

    Raises:
        ModelError: The mirror folder contains none of the entries; the error is that of the first one.
    """
    if mirror_folder() is None:
        return network.sources[0]
    refusals: list[ModelError] = []
    for entry in network.sources:
        try:
            zoo.path(entry)
        except ModelError as error:
            refusals.append(error)
        else:
            return entry
    raise refusals[0]


def choose_entries(networks: Sequence[KitNetwork]) -> list[ZooEntry]:
    """Choose the zoo entry of each network; see `choose_entry`.

    Raises:
        ModelError: The mirror folder lacks one or more files; the message states all of them.
    """
    entries: list[ZooEntry] = []
    refusals: list[ModelError] = []
    for network in networks:
        try:
            entries.append(choose_entry(network))
        except ModelError as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        raise ModelError(
            "; ".join(map(str, refusals)), hint=f"put the files there, under any name, or unset {MIRROR}"
        )
    return entries


def pull_source(entry: ZooEntry) -> Path:
    """Get the public file of an entry, with a progress bar; see `edge_sdk.zoo.pull`."""
    with stage(f"get {entry.name}") as progress:
        return zoo.pull(entry, progress=progress)


def convert_network(network: KitNetwork, entry: ZooEntry, source: Path) -> ConvertedNetwork:
    """Convert the public file of a network by its recipe; the name of the file has no effect.

    Raises:
        ConversionError: The file cannot be converted.
    """
    with TemporaryDirectory(prefix="edge-convert-kit-") as folder:
        # Cards state the name of the source, so a mirror folder with other names must not change the kit.
        model, output = Path(folder) / entry.file, Path(folder) / "converted"
        shutil.copyfile(source, model)
        make = _convert_embedder if network.role is Role.EMBEDDER else _convert_auxiliary
        file, replay = make(network, entry, model, output)
        return ConvertedNetwork(network, entry, file.read_bytes(), replay)


def _convert_embedder(
    network: KitNetwork, entry: ZooEntry, model: Path, output: Path
) -> tuple[Path, ReplayCheck | None]:
    result = convert(
        ConversionOptions(
            model=model,
            contract=None,
            calibration=None,
            output=output,
            name=network.name,
            quantization=Plain() if network.recipe is None else Replay(network.recipe),
            version=network.version,
            description=network.description,
            licence=entry.licence,
        )
    )
    (artefact,) = (artefact for artefact in result.artefacts if artefact.precision == "int8")
    return output / artefact.file, result.replays[artefact.recipe]


def _convert_auxiliary(
    network: KitNetwork, entry: ZooEntry, model: Path, output: Path
) -> tuple[Path, ReplayCheck | None]:
    report = convert_auxiliary(
        AuxiliaryRequest(
            model=model,
            method=entry.method,
            output=output,
            recipe=network.recipe,
            parameters=network.parameters,
            name=network.name,
            licence=entry.licence,
            version=network.version,
        )
    )
    precision = "int8" if network.recipe else "float32"
    (artefact,) = (artefact for artefact in report.artefacts if artefact.precision == precision)
    return output / artefact.file, artefact.replay
