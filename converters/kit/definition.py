"""Definitions of the kits that this package builds: networks with their public files, recipes and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_sdk import zoo
from edge_sdk.kit.manifest import Role
from edge_sdk.zoo import ZooEntry

_PACKAGE = Path(__file__).parent
#: Folder of the recipes of this package.
RECIPES = _PACKAGE / "recipes"


@dataclass(frozen=True)
class KitNetwork:
    """One network of a kit.

    Args:
        file: File name in the kit.
        role: Purpose of the network.
        name: Name of the network in its card.
        version: Version of the network in its card.
        sources: Zoo entries of public files with the same weights, in the order in which they are tried.
        recipe: Recipe with recorded statistics; None for a float network.
        description: Purpose of the network in its card, one sentence; for an embedder.
        crop_scale: Size of the crop as a multiple of the face box; for presentation attack detection.
    """

    file: str
    role: Role
    name: str
    version: str
    sources: tuple[ZooEntry, ...]
    recipe: Path | None = None
    description: str = ""
    crop_scale: float | None = None

    @property
    def parameters(self) -> Mapping[str, float]:
        """Parameters of the method of an auxiliary network."""
        return {} if self.crop_scale is None else {"crop_scale": self.crop_scale}


@dataclass(frozen=True)
class KitDefinition:
    """Networks of a kit, its evidence and its limits.

    Args:
        name: Name of the kit.
        version: Version of the kit.
        networks: The networks; one embedder, at most one detector.
        evidence: File with the evidence.
        limits: Uses for which the evidence is not enough, one sentence each.
        authors: Authors of the networks, one line each, for the notices in the kit.
    """

    name: str
    version: str
    networks: tuple[KitNetwork, ...]
    evidence: Path
    limits: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()

    @property
    def embedder(self) -> KitNetwork:
        """The embedding network."""
        return next(network for network in self.networks if network.role is Role.EMBEDDER)


def _liveness(version: str, crop_scale: float) -> KitNetwork:
    name = f"minifasnet-{version.lower()}"
    return KitNetwork(
        file=f"pad_{crop_scale}.tflite",
        role=Role.LIVENESS,
        name=f"minifasnet_{version.lower()}",
        version="2020",
        sources=(zoo.entry(name), zoo.entry(f"{name}-export")),
        crop_scale=crop_scale,
    )


FACE = KitDefinition(
    name="face",
    version="1",
    networks=(
        KitNetwork(
            file="face.tflite",
            role=Role.EMBEDDER,
            name="sface",
            version="2021dec",
            sources=(zoo.entry("sface"),),
            recipe=RECIPES / "sface.cpu_int8.recipe.json",
            description="SFace: an embedding of an aligned face",
        ),
        KitNetwork(
            file="detector.tflite",
            role=Role.DETECTOR,
            name="yunet",
            version="2022",
            sources=(zoo.entry("yunet"),),
            recipe=RECIPES / "yunet.cpu_int8.recipe.json",
        ),
        _liveness("V2", 2.7),
        _liveness("V1SE", 4.0),
    ),
    evidence=_PACKAGE / "evidence" / "face.json",
    limits=(
        "The thresholds were measured on press photographs of adults (LFW DevTest), not with your camera and light: check"
        " them with edge-sdk face evidence.",
        "The authors of LFW state that it shows few children, very few people over 80, a small share of women, and many"
        " ethnicities hardly or not at all: error rates of these groups are not known. Relatives were not measured.",
        "The liveness networks were tried with three pictures of their authors only: they are no protection against a"
        " prepared attack. At a threshold of one half they reject about one in eight of the LFW photographs.",
        "The images that the embedding network was trained on are not stated; people of the evaluation may be among them.",
    ),
    authors=(
        "SFace: Zhong et al. 2021, arXiv:2205.12010; published by OpenCV Zoo",
        "YuNet: Wu, Peng and Yu 2023, doi 10.1007/s11633-023-1423-y; published by Shiqi Yu (libfacedetection.train)",
        "MiniFASNet: Minivision, Silent-Face-Anti-Spoofing 2020",
    ),
)
