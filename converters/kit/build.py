"""Build a defined kit: get the public files, convert them by their recipes, attach the evidence, and bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from converters.errors import ConversionError
from converters.graph.attach_card import card_behind
from converters.kit.bundling import KitResult, bundle_kit
from converters.kit.contents import KitContents, KitPart
from converters.kit.definition import KitDefinition, KitNetwork
from converters.kit.evidence import KitEvidence, read_evidence
from converters.kit.licences import NOTICE_FILE, LicenceError, Terms, licence_files, notices
from converters.kit.networks import ConvertedNetwork, choose_entries, convert_network, pull_source
from edge_sdk.kit.manifest import Role
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import split
from edge_sdk.model.network_card import NetworkCard
from edge_sdk.zoo import ZooEntry


def build_kit(
    definition: KitDefinition,
    output: str | Path,
    *,
    accept: Callable[[Sequence[Terms]], bool],
) -> KitResult:
    """Build a kit from public files; no images are needed.

    Args:
        definition: Networks, recipes and evidence of the kit.
        output: Folder for ``NAME.edgekit`` and its report page.
        accept: Shows the licences and returns True if they are accepted; called once, before any download.

    Returns:
        The kit. The same files and tools give the same bytes.

    Raises:
        LicenceError: The licences were not accepted.
        ModelError: A file cannot be downloaded, is missing in the mirror folder, or has another digest than the listed one.
        AccuracyGateError: A replayed network differs from the recorded one beyond the tolerance.
        ConversionError: A network cannot be converted, the evidence belongs to another recipe, or the output cannot be
            written.
    """
    return bundle_kit(lambda: _contents(definition, accept), output)


def _contents(definition: KitDefinition, accept: Callable[[Sequence[Terms]], bool]) -> KitContents:
    entries = choose_entries(definition.networks)
    terms = [_terms(network, entry) for network, entry in zip(definition.networks, entries, strict=True)]
    if not accept(terms):
        raise LicenceError(
            "the licences of the networks were not accepted; nothing was downloaded or written",
            hint="--accept-licences accepts them without a question",
        )
    evidence = read_evidence(definition.evidence)
    sources = [pull_source(entry) for entry in entries]
    notes: list[str] = []
    parts = []
    for network, entry, source in zip(definition.networks, entries, sources, strict=True):
        part = convert_network(network, entry, source)
        data: bytes = part.data
        remarks: list[str] = []
        if network.role is Role.EMBEDDER:
            data, remarks = _with_evidence(part, evidence)
        elif network.role is Role.DETECTOR:
            remarks = _remarks_on_detector(part, evidence)
        notes += remarks
        parts.append(_part(part, data))
    return KitContents(
        name=definition.name,
        version=definition.version,
        parts=tuple(parts),
        texts={**licence_files(terms), NOTICE_FILE: notices(definition, terms)},
        limits=definition.limits,
        protocols=evidence.protocols,
        notes=tuple(notes),
    )


def _terms(network: KitNetwork, entry: ZooEntry) -> Terms:
    source = entry.address or entry.file
    return Terms(network.file, entry.licence, entry.licence_note, source, entry.sha256)


def _with_evidence(part: ConvertedNetwork, evidence: KitEvidence) -> tuple[bytes, list[str]]:
    """Put the evidence into an embedder's card; return the file and remarks.

    The conversion has compared the network with the recorded one. If its recipe is the measured one, its bytes may differ,
    but its outputs are within the tolerance of the conversion.

    Raises:
        ConversionError: The evidence was measured with the network of another recipe.
    """
    network, files = split(part.data)
    card = ModelCard.from_bytes(files[CARD_NAME])
    if evidence.is_of(card):
        return card_behind(network, evidence.attached_to(card)), []
    if part.recorded_sha256 != evidence.recorded_sha256 or part.replay is None:
        raise ConversionError(
            f"{part.network.file}: expected evidence of the int8 network {part.recorded_sha256[:12] or 'of a recipe'}..., found"
            f" evidence of {evidence.recorded_sha256[:12]}...; nothing was written",
            hint="measure the networks again with python -m tools.kit_evidence",
        )
    remark = (
        "the embedder has other bytes than the network that the evidence was measured with, and is equal to it within the"
        f" tolerance of the conversion: {part.replay.measured()}"
    )
    return card_behind(network, replace(evidence.attached_to(card), limits=remark)), [remark]


def _remarks_on_detector(part: ConvertedNetwork, evidence: KitEvidence) -> list[str]:
    """Return a remark if the detector is not the one of the end-to-end measurement."""
    _, files = split(part.data)
    if NetworkCard.from_bytes(files[CARD_NAME]).network_sha256 == evidence.detector_sha256:
        return []
    return ["the detector has other bytes than that of the measurement: the rates end to end may differ"]


def _part(part: ConvertedNetwork, data: bytes) -> KitPart:
    return KitPart(
        file=part.network.file,
        role=part.network.role,
        data=data,
        licence=part.entry.licence,
        licence_note=part.entry.licence_note,
        source=part.entry.address or part.entry.file,
        source_sha256=part.entry.sha256,
        made=part.made,
    )
