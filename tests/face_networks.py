"""Small files of a face detector and of liveness networks with random weights, for tests that open files."""

from __future__ import annotations

import math
from pathlib import Path

from converters.graph.attach_card import with_network_card
from edge_sdk.model.card import InputContract
from edge_sdk.model.network_card import NetworkCard
from tests.networks import NetworkBuilder

DETECTOR_SIDE, LIVENESS_SIDE = 64, 80
STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{part}_{stride}" for part in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
DEPTHS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


def write_detector(path: Path, *, seed: int = 0) -> Path:
    """Write a detector with YuNet's outputs."""
    net = NetworkBuilder((1, DETECTOR_SIDE, DETECTOR_SIDE, 3), seed=seed)
    features = net.mean(net.input)
    outputs = []
    for name in OUTPUTS:
        part, stride = name.split("_")
        shape = (1, (DETECTOR_SIDE // int(stride)) ** 2, DEPTHS[part])
        outputs.append(net.reshape(net.dense(features, math.prod(shape)), shape))
    card = NetworkCard(
        name="detector",
        task="face detector",
        method="yunet",
        precision="float32",
        input=InputContract(DETECTOR_SIDE, DETECTOR_SIDE, "bgr", (0.0,) * 3, (255.0,) * 3),
        outputs=OUTPUTS,
        network_sha256="",
    )
    path.write_bytes(with_network_card(net.finish(*outputs), card))
    return path


def write_liveness(path: Path, *, seed: int = 0) -> Path:
    """Write a MiniFASNet-like network with three classes."""
    net = NetworkBuilder((1, LIVENESS_SIDE, LIVENESS_SIDE, 3), seed=seed)
    card = NetworkCard(
        name="pad",
        task="presentation attack detector",
        method="minifasnet",
        precision="float32",
        input=InputContract(LIVENESS_SIDE, LIVENESS_SIDE, "bgr", (0.0,) * 3, (255.0,) * 3),
        outputs=("logits",),
        network_sha256="",
        parameters={"crop_scale": 2.7},
    )
    path.write_bytes(with_network_card(net.finish(net.dense(net.mean(net.input), 3)), card))
    return path
