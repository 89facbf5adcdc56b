"""Check if calibration images are what a network was trained for: their number, kind, channel order and crop.

A network for aligned faces gives weaker embeddings for other inputs. So the images are compared with altered copies of
themselves: turned, enlarged, reduced, shifted. If copies give stronger embeddings, the images are turned, of another size or
shifted. If turned copies are hardly weaker, the images show no faces.

Any network tells the things apart that it was trained for. If it tells drawn shapes apart better, the images show other things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from converters.analyze.contract_evidence import Candidate, Measurement, Probe, paired
from converters.data.alignment_check import FACE_SIZES, LookedAt, alignment_note
from converters.data.calibration import CalibrationSet
from converters.data.drawn import draw_pictures, draw_shapes
from converters.data.image_faults import Finding, find_image_faults, find_too_few
from converters.graph.network import Network
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.faces import FaceDetector
from edge_sdk.vision.resize import fit

#: Number of images that the network embeds, and the least number to judge by.
IMAGES, LEAST_IMAGES = 32, 16
#: Changes of `Measurement.strength` (natural logarithms), measured on MobileFaceNet y1; docs/measurements/contract.md.
_TURNED, _RESIZED, _SHIFTED = 0.3, 0.1, 0.22
#: Mean change by turning: above the first the images are of another kind; below the second their place can be judged.
_NO_FACES, _PLACEABLE = -0.7, -0.5
#: A trained network tells drawn shapes apart: their mean cosine is at most the first. That of images is at most this much higher.
_SHAPES_APART, _ALIKE = 0.5, 0.05
#: Least standard score of a change.
_SCORE = 3.0
#: Altered copies: size of the enlarged and reduced part, and shift as a share of a side.
_ZOOM, _SHIFT = 1.3, 0.12
#: Least share of faces that are redder than blue: skin of every colour is.
_REDDISH = 0.35
_ALIGN = "align photographs: edge-sdk face align PHOTOGRAPHS --output CROPS --detector FILE"
_EXCHANGED = Finding(
    "channels",
    "the faces are more blue than red, as if red and blue were exchanged",
    "write the images with the channels in the order of the file format",
)
_SIZES = {"enlarged": "too small", "reduced": "too large"}


@dataclass(frozen=True)
class CalibrationCheck:
    """Result of the check. The field names are keys of the JSON report.

    Args:
        findings: Faults of the images; empty if none was noticed.
        images: Number of images that the network embedded; 0 if there were too few.
        alike: Mean cosine between the embeddings of different images.
        shapes_alike: The same for drawn shapes.
        changes: Mean change of the strength of the embeddings by each kind of copy, a natural logarithm; the network
            prefers copies with a change above 0. Empty if the network is not for aligned faces.
    """

    findings: tuple[Finding, ...] = ()
    images: int = 0
    alike: float = 0.0
    shapes_alike: float = 0.0
    changes: Mapping[str, float] = field(default_factory=dict)

    def doubts(self) -> list[str]:
        """Return the names of the faults that make every figure doubtful: all but too few images."""
        return [finding.fault for finding in self.findings if finding.fault != "few"]

    def notes(self) -> list[str]:
        """Return the findings as warnings for the report."""
        return [f"calibration images: {finding}" for finding in self.findings]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


def check_calibration(
    network: Network,
    contract: AnyContract,
    images: CalibrationSet,
    detector: FaceDetector | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationCheck:
    """Look for faults of calibration images; their place is judged only if the network is for aligned faces.

    Args:
        network: The float network in canonical form.
        contract: Its input contract; arrays are only counted.
        images: The calibration images.
        detector: Face detector to find unaligned faces; None for none.
        progress: Called with (done, total).
    """
    crops = images.ranges
    if not isinstance(contract, InputContract):
        return CalibrationCheck(tuple(find_too_few(len(crops))))
    findings = find_image_faults(crops.pixels)
    faults = {finding.fault for finding in findings}
    unaligned = _unaligned(LookedAt(crops.pixels, crops.larger), contract, detector)
    if len(crops) < LEAST_IMAGES or faults & {"narrow", "copies"}:
        return CalibrationCheck((*findings, *unaligned))
    pixels = crops.pixels[
        [i * len(crops) // IMAGES for i in range(IMAGES)] if len(crops) > IMAGES else slice(None)
    ]
    shapes = draw_pictures(contract, seed=0, first=0, count=len(pixels), kinds=[draw_shapes])
    sets = {"given": pixels, "shapes": shapes}
    for_faces = contract.alignment is not None or (contract.height, contract.width) in FACE_SIZES
    if for_faces:
        sets |= _copies(pixels)
        if "colourless" not in faults and _reddish(crops.pixels) < _REDDISH:
            findings.append(_EXCHANGED)
    measured = _measured(network, contract, sets, progress)
    if "given" not in measured or "shapes" not in measured:
        return CalibrationCheck((*findings, *unaligned))
    given, reference = measured.pop("given"), measured.pop("shapes")
    changes = {name: paired(copy.strength, given.strength)[:2] for name, copy in measured.items()}
    place = judge_place(
        {name: mean if abs(score) >= _SCORE else min(mean, 0) for name, (mean, score) in changes.items()}
    )
    apart = reference.mean_cosine <= _SHAPES_APART
    if place is None and apart and given.mean_cosine > reference.mean_cosine + _ALIKE:
        place = Finding(
            "kind",
            f"the network hardly tells the images apart: their mean cosine is {given.mean_cosine:.2f}, that of drawn shapes"
            f" {reference.mean_cosine:.2f}",
            "give images of the things for which the network was trained, as the device will see them",
        )
    return CalibrationCheck(
        (*findings, *([place] if place else unaligned)),
        len(pixels),
        round(given.mean_cosine, 3),
        round(reference.mean_cosine, 3),
        {name: round(mean, 3) for name, (mean, _) in changes.items()},
    )


def _unaligned(images: LookedAt, contract: InputContract, detector: FaceDetector | None) -> list[Finding]:
    measured = alignment_note(images, contract, detector)
    return [Finding("crop", *measured.split("; ", 1))] if measured else []


def _reddish(pixels: UInt8Array) -> float:
    """Return the share of images whose middle half has more red than blue; 1 for gray images."""
    if pixels.shape[3] == 1:
        return 1.0
    height, width = pixels.shape[1:3]
    middle = pixels[:, height // 4 : -(height // 4), width // 4 : -(width // 4)].mean(axis=(1, 2))
    return float((middle[:, 0] > middle[:, 2]).mean())


def _measured(
    network: Network,
    contract: InputContract,
    sets: Mapping[str, UInt8Array],
    progress: Callable[[int, int], None] | None,
) -> dict[str, Measurement]:
    """Embed each set of images; sets with an output that is not finite are left out."""
    candidate = Candidate("given", contract)
    probe = Probe(network, sets["given"][:1])
    measured = {}
    for done, (name, pixels) in enumerate(sets.items()):
        outputs = probe.outputs_of(candidate, pixels)
        if outputs is not None:
            measured[name] = Measurement(candidate, outputs, np.zeros(1))
        if progress is not None:
            progress(done + 1, len(sets))
    return measured


def _copies(pixels: UInt8Array) -> dict[str, UInt8Array]:
    height, width = pixels.shape[1:3]
    down, across = round(_SHIFT * height), round(_SHIFT * width)
    padded = np.pad(pixels, ((0, 0), (down, down), (across, across), (0, 0)), mode="edge")
    rows = {"up": 2 * down, "down": 0}
    columns = {"left": 2 * across, "right": 0}
    inner, outer = (1 - 1 / _ZOOM) / 2, (_ZOOM - 1) / 2
    top, side = round(inner * height), round(inner * width)
    border = (0, 0), (round(outer * height),) * 2, (round(outer * width),) * 2, (0, 0)
    return {
        **{
            f"turned by {90 * turns}": _fitted(np.rot90(pixels, -turns, (1, 2)), pixels)
            for turns in (1, 2, 3)
        },
        "enlarged": _fitted(pixels[:, top : height - top, side : width - side], pixels),
        "reduced": _fitted(np.pad(pixels, border, mode="edge"), pixels),
        **{f"shifted {name}": padded[:, y : y + height, across : across + width] for name, y in rows.items()},
        **{f"shifted {name}": padded[:, down : down + height, x : x + width] for name, x in columns.items()},
    }


def _fitted(images: UInt8Array, like: UInt8Array) -> UInt8Array:
    return np.stack([fit(np.ascontiguousarray(image), *like.shape[1:3]) for image in images])


def judge_place(changes: Mapping[str, float]) -> Finding | None:
    """Judge the changes: turned, of another size, shifted, or of another kind; None if the images agree."""
    turns = {name: value for name, value in changes.items() if name.startswith("turned")}
    best = max(turns, key=lambda name: turns[name], default="")
    if best and turns[best] >= _TURNED:
        return Finding(
            "turned",
            f"the network responds {np.exp(turns[best]):.1f} times as strongly to the images {best} degrees clockwise",
            "turn the images upright",
        )
    if not turns:
        return None
    response = sum(turns.values()) / 3
    if response <= _PLACEABLE:
        size = max(_SIZES, key=lambda name: changes.get(name, -1.0))
        if changes.get(size, -1.0) >= _RESIZED:
            return Finding(
                "size",
                f"the faces are {_SIZES[size]}, or the images show no faces: the network responds"
                f" {np.exp(changes[size]):.2f} times as strongly to {size} images",
                _ALIGN,
            )
        shifts = {name: value for name, value in changes.items() if name.startswith("shifted")}
        best = max(shifts, key=lambda name: shifts[name], default="")
        if best and shifts[best] >= _SHIFTED:
            return Finding(
                "shifted",
                "the faces are shifted, or the images show no faces: the network responds"
                f" {np.exp(shifts[best]):.2f} times as strongly to the images {best}",
                _ALIGN,
            )
    if response > _NO_FACES:
        return Finding(
            "kind",
            "the images hardly look like faces to the network: turned copies give"
            f" {np.exp(response):.2f} times the response, for faces less than {np.exp(_NO_FACES):.2f}",
            "give aligned crops of faces like those that the device will see",
        )
    return None
