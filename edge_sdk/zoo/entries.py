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
_OPENCV_ZOO_INT8BQ = (
    "https://github.com/opencv/opencv_zoo/raw/25f423d0e04c31a17254620e58febd7386da523b/models"
)
_YUNET_TRAIN = (
    "https://github.com/ShiqiYu/libfacedetection.train/raw/47198234de8c4646961e46159e02af5b06021a78"
)
_AURAFACE = "https://huggingface.co/fal/AuraFace-v1/resolve/af6d057c9b0ec4071d4c49c80e3539258798b609"
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
        address: Address of the file, ``https://`` or ``file://``; empty if no public address is known. Such a file is read
            only from a mirror folder.
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
        if self.address and not self.address.startswith(("https://", "file://")):
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


def _minifasnet(
    version: str, sha256: str, size_bytes: int, crop_scale: float, *, published: bool = True
) -> ZooEntry:
    return ZooEntry(
        name=f"minifasnet-{version.lower()}" + ("" if published else "-export"),
        task="presentation attack detector",
        method="minifasnet",
        file=f"MiniFASNet{version}.onnx" if published else f"minifasnet_{version.lower()}_export.onnx",
        address=f"{_MINIFASNET}/MiniFASNet{version}.onnx" if published else "",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        licence_note="" if published else "another export of Minivision's weights, without a public address",
        contract=_contract(80, 80, "bgr", 0, 1),
        exercised=not published,
        conversion=f"edge-convert auxiliary {{file}} --method minifasnet --crop-scale {crop_scale} --output DIR",
    )


def _sface(name: str, file: str, sha256: str, size_bytes: int, *, exercised: bool) -> ZooEntry:
    return ZooEntry(
        name=name,
        task="embedder",
        method="",
        file=file,
        address=f"{_OPENCV_ZOO}/face_recognition_sface/{file}",
        sha256=sha256,
        size_bytes=size_bytes,
        licence="Apache-2.0",
        licence_note="the images it was trained on, and their licence, are not stated",
        contract=_contract(112, 112, "rgb", 0, 1, aligned=True),
        exercised=exercised,
        conversion="edge-convert convert {file} --size 112x112 --color rgb --range 0..255 --alignment arcface"
        " --recipe auto --calibration CROPS --output DIR",
    )


def _yunet(
    name: str, address: str, sha256: str, size_bytes: int, licence: str, *, exercised: bool
) -> ZooEntry:
    return ZooEntry(
        name=name,
        task="face detector",
        method="yunet",
        file=address.rpartition("/")[2],
        address=address,
        sha256=sha256,
        size_bytes=size_bytes,
        licence=licence,
        contract=_contract(320, 320, "bgr", 0, 1),
        exercised=exercised,
        conversion="edge-convert auxiliary {file} --method yunet --calibration PHOTOS --output DIR",
    )


#: Digests and sizes come from the files themselves if they are exercised. The others come from OpenCV Zoo's LFS pointers
#: (SFace, YuNet), from the ONNX release (MiniFASNet), and from projects that pin the file (AuraFace).
ENTRIES: tuple[ZooEntry, ...] = (
    _sface(
        "sface",
        "face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        10667852,
        exercised=True,
    ),
    _sface(
        "sface-float",
        "face_recognition_sface_2021dec.onnx",
        "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
        38696353,
        exercised=False,
    ),
    ZooEntry(
        name="auraface",
        task="embedder",
        method="",
        file="glintr100.onnx",
        address=f"{_AURAFACE}/glintr100.onnx",
        sha256="a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60",
        size_bytes=260694151,
        licence="Apache-2.0",
        licence_note="its training images are not named; the digest is the one that other projects pin, and the input"
        " contract is that of InsightFace: neither was checked with this SDK",
        contract=_contract(112, 112, "rgb", 127.5, 127.5, aligned=True),
        conversion="edge-convert convert {file} --size 112x112 --color rgb --mean 127.5 --scale 127.5 --alignment arcface"
        " --recipe auto --calibration CROPS --output DIR",
    ),
    _yunet(
        "yunet",
        f"{_YUNET_TRAIN}/onnx/yunet_n_320_320.onnx",
        "81dbde155e982455488235acb8ec2dec5d647edf7cf7080d33e4abb69b93a0d2",
        317434,
        "Apache-2.0",
        exercised=True,
    ),
    _yunet(
        "yunet-2023mar-int8bq",
        f"{_OPENCV_ZOO_INT8BQ}/face_detection_yunet/face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        122489,
        "MIT",
        exercised=True,
    ),
    _yunet(
        "yunet-2023mar",
        f"{_OPENCV_ZOO}/face_detection_yunet/face_detection_yunet_2023mar.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232589,
        "MIT",
        exercised=False,
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
    _minifasnet(
        "V2",
        "7886c41bcbcc1be00cf8700eddbd8cbd4b1ad138e69010790de2a57a3b01d7e5",
        1743495,
        2.7,
        published=False,
    ),
    _minifasnet(
        "V1SE",
        "e67aedf72df3e1912dbf6baa5f7406b8b30c3cb43234170a70dd9d143fea358e",
        1742663,
        4.0,
        published=False,
    ),
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
