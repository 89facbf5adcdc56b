"""Bundle networks, licences and a report page into one kit, after the device's own code opened every network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from converters.errors import ConversionError
from converters.kit.contents import KitContents, KitPart
from converters.kit.evidence import supported_rate
from converters.kit.report import kit_page
from converters.output import staged
from converters.progress import stage
from edge_sdk.kit.bundle import KitFile, write_kit
from edge_sdk.kit.manifest import KIT_SUFFIX, KitManifest, KitMember, Role
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check
from edge_sdk.vision.detector import Detector
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.liveness import MiniFasNet

SCHEMA = "edge-sdk/kit-report/1"
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class KitResult:
    """A kit that was written.

    Args:
        kit: The kit, opened and checked.
        size_bytes: Size of the file.
        card: Model card of the embedder.
        made: How each network was made, by its file name in the kit.
        notes: Remarks for the reader, one line each.
        replaced: SHA-256 of another file that the kit has replaced, hex; empty if there was none, or the same kit.
    """

    kit: KitFile
    size_bytes: int
    card: ModelCard
    made: Mapping[str, str]
    notes: tuple[str, ...]
    replaced: str = ""

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, hex."""
        return self.kit.sha256

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        manifest = self.kit.manifest
        return {
            "schema": SCHEMA,
            "file": str(self.kit.path),
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "replaced": self.replaced or None,
            "manifest": manifest.to_json(),
            "made": dict(self.made),
            "operating_points": [point.to_json() for point in self.card.operating_points],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Format the result for a terminal."""
        manifest = self.kit.manifest
        lines = [f"kit {manifest.name}, version {manifest.version}, SHA-256 {self.sha256}"]
        width = max(len(member.file) for member in manifest.members)
        for member in manifest.members:
            made = self.made.get(member.file, "")
            lines.append(
                f"  {member.file.ljust(width)}  {member.size_bytes / 1e6:6.2f} MB  {member.role.value}"
                f"{f', {made}' if made else ''}"
            )
        lines += [point.describe() for point in self.card.operating_points]
        rate = supported_rate(self.card.operating_points)
        lines.append(
            "FPIR     none: the card's operating points support none"
            if rate is None
            else f"FPIR     {rate.fpir:g} for up to {rate.most(self.card.operating_points)} templates"
        )
        lines += [f"limit    {limit}" for limit in manifest.limits]
        lines += [f"note     {note}" for note in self.notes]
        if self.replaced:
            lines.append(f"replaced an earlier file with SHA-256 {self.replaced}")
        return "\n".join([*lines, f"written to {self.kit.path}"])


def bundle_kit(make: Callable[[], KitContents], output: str | Path) -> KitResult:
    """Make the contents of a kit, check its networks, and write the kit and its report page; both appear or neither.

    Args:
        make: Makes the contents; called after the output folder was found writable.
        output: Folder for ``NAME.edgekit`` and ``NAME.kit.html``.

    Raises:
        ModelError: A network does not open.
        ConversionError: The embedder's outputs are not those of its golden vectors, or the output cannot be written.
    """
    output = Path(output)
    with staged(output) as folder:
        contents = make()
        with stage("check the networks"):
            card = _open_parts(contents.parts)
        manifest, files = _manifest(contents, card)
        kit = write_kit(folder / f"{contents.name}{KIT_SUFFIX}", manifest, files)
        (folder / f"{contents.name}.kit.html").write_bytes(files[REPORT_FILE])
        earlier = _digest(output / kit.path.name)
    return KitResult(
        kit=replace(kit, path=output / kit.path.name),
        size_bytes=(output / kit.path.name).stat().st_size,
        replaced=earlier if earlier != kit.sha256 else "",
        card=card,
        made={part.file: part.made for part in contents.parts},
        notes=contents.notes,
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file, hex; empty if there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_networks(embedder: Path, detectors: Sequence[Path], liveness: Sequence[Path]) -> ModelCard:
    """Open every network as a device does, check the embedder's golden vectors, and return the embedder's card.

    Raises:
        ModelError: A network does not open.
        ConversionError: The embedder's outputs are not those of its golden vectors.
    """
    Embedder.open(embedder)
    file = ModelFile.open(embedder)
    if file.card.golden is not None:
        outcome = check(LiteRtBackend(file.data), file.card.input, file.card.golden)
        if not outcome.right:
            raise ConversionError(
                f"{embedder}: {outcome.message}", hint="convert the network again on this computer"
            )
    for path in detectors:
        Detector.open(path)
    if liveness:
        MiniFasNet.open(*liveness)
    return file.card


def _open_parts(parts: Sequence[KitPart]) -> ModelCard:
    """Write the networks to a temporary folder and open them."""
    with TemporaryDirectory(prefix="edge-convert-kit-") as folder:
        paths: dict[Role, list[Path]] = {role: [] for role in Role}
        for part in parts:
            path = Path(folder) / part.file
            path.write_bytes(part.data)
            paths[part.role].append(path)
        if len(paths[Role.EMBEDDER]) != 1:
            raise ConversionError(f"kit: expected one embedder, found {len(paths[Role.EMBEDDER])}")
        return open_networks(paths[Role.EMBEDDER][0], paths[Role.DETECTOR], paths[Role.LIVENESS])


def _manifest(contents: KitContents, card: ModelCard) -> tuple[KitManifest, dict[str, bytes]]:
    """Return the manifest, and the content of every member by its file name."""
    rate = supported_rate(card.operating_points)
    fpir = None if rate is None else rate.fpir
    page = kit_page(contents, card, rate)
    members = [
        KitMember(
            file=part.file,
            role=part.role,
            sha256=hashlib.sha256(part.data).hexdigest(),
            size_bytes=len(part.data),
            licence=part.licence,
            licence_note=part.licence_note,
            source=part.source,
            source_sha256=part.source_sha256,
        )
        for part in contents.parts
    ]
    files = {part.file: part.data for part in contents.parts}
    for name, role, data in [
        *((name, Role.LICENCE, data) for name, data in sorted(contents.texts.items())),
        (REPORT_FILE, Role.REPORT, page.encode()),
    ]:
        members.append(KitMember(name, role, hashlib.sha256(data).hexdigest(), len(data)))
        files[name] = data
    manifest = KitManifest(contents.name, contents.version, tuple(members), fpir, contents.limits)
    return manifest, files
