"""List of zoo models, one frozen value for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge_sdk.errors import InputError, ModelError
from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import arcface

_DIGEST = re.compile(r"[0-9a-f]{64}")
_OPENCV_ZOO = "https://github.com/opencv/opencv_zoo/raw/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models"
_MEDIAPIPE = "https://storage.googleapis.com/mediapipe-assets"
_MINIFASNET = "https://github.com/yakhyo/face-anti-spoofing/releases/download/weights"


@dataclass(frozen=True)
class ZooEntry:
    """One third-party model.

    Args:
        name: Name in the zoo, such as ``yunet``.
        task: ``embedder``, ``face detector`` or ``presentation attack detector``.
        method: Decoding method of its outputs, as in a network card; empty for an embedder.
        file: File name in the cache and in a mirror folder.
        address: Address of the file, ``https://`` or ``file://``.
        sha256: SHA-256 of the file, hex.
        size_bytes: Size of the file in bytes.
        licence: Licence of the model, as its author states it.
        contract: Input contract of the model.
        output_names: Names of the output tensors in order, for a ``.tflite`` without a card.
        exercised: True if this project's tests have run with exactly this file.
        licence_note: Questions that the licence leaves open.
        conversion: Command that converts the file for devices; empty if it needs no conversion.
    """

    name: str
    task: str
    method: str
    file: str
    address: str
    sha256: str
    size_bytes: int
    licence: str
    contract: InputContract
    output_names: tuple[str, ...] = ()
    exercised: bool = False
    licence_note: str = ""
    conversion: str = ""

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.sha256):
            raise InputError(f"zoo entry {self.name}: expected a SHA-256 in hex, found {self.sha256!r}")
        if not self.address.startswith(("https://", "file://")):
            raise InputError(
                f"zoo entry {self.name}: expected an https or file address, found {self.address!r}"
            )
        if "/" in self.file or self.file.startswith(".") or not self.file:
            raise InputError(f"zoo entry {self.name}: expected a plain file name, found {self.file!r}")


def _contract(
    height: int, width: int, color: str, mean: float, scale: float, *, aligned: bool = False
) -> InputContract:
    points = arcface(height, width) if aligned else None
    return InputContract(height, width, color, (mean,) * 3, (scale,) * 3, points)


def _blazeface(reach: str, generation: int, sha256: str, size_bytes: int, side_px: int) -> ZooEntry:
    return ZooEntry(
        name=f"blazeface-{reach}",
        task="face detector",
        method=f"blazeface_{reach}_range",
        file=f"blazeface_{reach}_range.tflite",
        address=f"{_MEDIAPIPE}/face_detection_{reach}_range.tflite?generation={generation}",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        contract=_contract(side_px, side_px, "rgb", 127.5, 127.5),
        output_names=("regressors", "scores"),
        exercised=True,
    )


def _minifasnet(version: str, sha256: str, size_bytes: int, crop_scale: float) -> ZooEntry:
    return ZooEntry(
        name=f"minifasnet-{version.lower()}",
        task="presentation attack detector",
        method="minifasnet",
        file=f"MiniFASNet{version}.onnx",
        address=f"{_MINIFASNET}/MiniFASNet{version}.onnx",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        contract=_contract(80, 80, "bgr", 0, 1),
        conversion=f"edge-convert auxiliary {{file}} --method minifasnet --crop-scale {crop_scale} --output DIR",
    )


#: Digests and sizes come from OpenCV Zoo's LFS pointers (SFace, YuNet), MediaPipe's build files (BlazeFace), and the
#: ONNX release (MiniFASNet).
ENTRIES: tuple[ZooEntry, ...] = (
    ZooEntry(
        name="sface",
        task="embedder",
        method="",
        file="face_recognition_sface_2021dec.onnx",
        address=f"{_OPENCV_ZOO}/face_recognition_sface/face_recognition_sface_2021dec.onnx",
        sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        size_bytes=38696353,
        licence="Apache-2.0",
        licence_note="the licence of the images it was trained on is not stated",
        contract=_contract(112, 112, "rgb", 0, 1, aligned=True),
        conversion="edge-convert convert {file} --size 112x112 --color rgb --range 0..255 --alignment arcface"
        " --recipe auto --calibration CROPS --output DIR",
    ),
    ZooEntry(
        name="yunet",
        task="face detector",
        method="yunet",
        file="face_detection_yunet_2023mar.onnx",
        address=f"{_OPENCV_ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        size_bytes=232589,
        licence="MIT",
        contract=_contract(320, 320, "bgr", 0, 1),
        conversion="edge-convert auxiliary {file} --method yunet --calibration PHOTOS --output DIR",
    ),
    _blazeface(
        "short",
        1661875748538815,
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        size_bytes=229032,
        side_px=128,
    ),
    _blazeface(
        "full",
        1661875742733283,
        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        size_bytes=1083984,
        side_px=192,
    ),
    _minifasnet("V2", "b32929adc2d9c34b9486f8c4c7bc97c1b69bc0ea9befefc380e4faae4e463907", 1743581, 2.7),
    _minifasnet("V1SE", "ebab7f90c7833fbccd46d3a555410e78d969db5438e169b6524be444862b3676", 1742335, 4.0),
)


def entry(name: str, *, entries: Sequence[ZooEntry] = ENTRIES) -> ZooEntry:
    """Return the entry of a model by its name.

    Raises:
        ModelError: There is no model with this name.
    """
    for candidate in entries:
        if candidate.name == name:
            return candidate
    raise ModelError(
        f"expected a zoo model ({', '.join(e.name for e in entries)}), found {name!r}",
        hint="edge-sdk zoo list",
    )


def by_digest(sha256: str, *, entries: Sequence[ZooEntry] = ENTRIES) -> ZooEntry | None:
    """Return the entry of the file with this SHA-256, hex, or None."""
    return next((candidate for candidate in entries if candidate.sha256 == sha256), None)
