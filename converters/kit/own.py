"""Bundle a user's own networks into a kit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.errors import OptionsError
from converters.kit.bundling import KitResult, bundle_kit, open_networks
from converters.kit.contents import KitContents, KitPart
from converters.kit.evidence import GALLERY_RATES, supported_rate
from edge_sdk import zoo
from edge_sdk.errors import ModelCardError
from edge_sdk.kit.manifest import Role
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import read_carded, read_model_bytes
from edge_sdk.model.network_card import NetworkCard

LICENCE_FILE = "licence.txt"
_NOT_WITH_DETECTOR = (
    "The error rates are those in the embedder's card, measured on the images that it names: not with this kit's detector, nor"
    " with your camera."
)


@dataclass(frozen=True)
class OwnKit:
    """A user's networks for a kit.

    Args:
        name: Name of the kit: lower-case letters, digits, dots, hyphens and underscores.
        embedder: Embedding network with its model card.
        licence: Licence of the networks, for the kit and for people who get it.
        detector: Face detector; None for none.
        liveness: Networks of presentation attack detection; empty for none.
        version: Version of the kit.
        allow_no_evidence: True to make a kit whose card has no operating points for a gallery.

    Raises:
        OptionsError: The licence is empty, a file is given twice, or liveness networks are given without a detector.
    """

    name: str
    embedder: Path
    licence: str
    detector: Path | None = None
    liveness: Sequence[Path] = ()
    version: str = "1"
    allow_no_evidence: bool = False

    def __post_init__(self) -> None:
        if not self.licence.strip():
            raise OptionsError("licence: expected the licence of the networks, found no text")
        files = [
            path.resolve() for path in (self.embedder, self.detector, *self.liveness) if path is not None
        ]
        if len(set(files)) < len(files):
            raise OptionsError("expected a different file for each network, found one twice")
        if self.liveness and self.detector is None:
            raise OptionsError(
                "expected a face detector (--detector) for the liveness networks (--liveness), found none"
            )


def bundle_own(kit: OwnKit, output: str | Path) -> KitResult:
    """Check a user's networks and write a kit of them.

    Args:
        kit: The networks.
        output: Folder for ``NAME.edgekit``.

    Raises:
        ModelError: A file is missing, damaged, or of another kind.
        ModelCardError: The name is malformed; or the embedder's card supports no FPIR and
            `allow_no_evidence` is False.
        ConversionError: The output cannot be written.
    """
    return bundle_kit(lambda: _contents(kit), output)


def _contents(kit: OwnKit) -> KitContents:
    detectors = () if kit.detector is None else (kit.detector,)
    card = open_networks(kit.embedder, detectors, tuple(kit.liveness))
    rate = supported_rate(card.operating_points)
    if rate is None and not kit.allow_no_evidence:
        raise ModelCardError(
            f"{kit.embedder}: expected operating points for a gallery of {GALLERY_RATES[-1].templates} templates, found"
            f" {len(card.operating_points) or 'none'}{' that are too weak' if card.operating_points else ''}",
            hint="edge-convert evaluate FILE --images people/ --write-card measures them; --allow-no-evidence makes a kit"
            " without them, with which no gallery accepts anybody",
        )
    parts = [
        _part("embedder.tflite", Role.EMBEDDER, kit.embedder, card, kit.licence),
        *(_auxiliary("detector.tflite", Role.DETECTOR, path, kit.licence) for path in detectors),
        *(
            _auxiliary(f"liveness_{number}.tflite", Role.LIVENESS, path, kit.licence)
            for number, path in enumerate(kit.liveness, start=1)
        ),
    ]
    return KitContents(
        name=kit.name,
        version=kit.version,
        parts=tuple(parts),
        texts={LICENCE_FILE: f"{kit.licence.strip()}\n".encode()},
        limits=(*((card.limits,) if card.limits else ()), *((_NOT_WITH_DETECTOR,) if detectors else ())),
        notes=() if rate is not None else ("the card has no operating points for a gallery",),
    )


def _auxiliary(file: str, role: Role, path: Path, licence: str) -> KitPart:
    """Make the part of a detector or a liveness network: of a public file without a card, or of a file with a card."""
    data = read_model_bytes(path)
    public = zoo.by_digest(hashlib.sha256(data).hexdigest())
    if public is not None:
        return KitPart(
            file,
            role,
            data,
            public.licence,
            public.licence_note,
            public.address,
            public.sha256,
            made="public file",
        )
    return _part(file, role, path, NetworkCard.from_bytes(read_carded(path).card), licence)


def _part(file: str, role: Role, path: Path, card: ModelCard | NetworkCard, licence: str) -> KitPart:
    source, digest = card.source.get("file", ""), card.source.get("sha256", "")
    return KitPart(
        file=file,
        role=role,
        data=read_model_bytes(path),
        licence=card.licence or licence.strip().splitlines()[0],
        source=source if isinstance(source, str) else "",
        source_sha256=digest if isinstance(digest, str) and len(digest) == 64 else "",
        made=f"{card.name}, {card.precision}",
    )
