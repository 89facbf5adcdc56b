"""Draw the key points that a pose network finds on a picture.

Two kinds of networks are decoded, both with the 17 key points of COCO: MoveNet, whose output has shape (1, 1, 17, 3) with (y, x, score) as
shares of the picture; and PoseNet, with heatmaps of 17 channels and offsets of 34 channels (Papandreou et al. 2018, "PersonLab",
arXiv:1803.08225). Custom decoders at the end of a file, such as Coral's PosenetDecoderOp, are cut off.

    python -m tools.pose_picture NETWORK.tflite PICTURE OUTPUT.png

NETWORK.tflite is a file of ``edge-convert convert --task none``, or an integer network that takes pixels as uint8.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from converters.graph.graph import indices
from converters.graph.network import Network as TfliteNetwork
from edge_sdk.errors import ModelCardError, ModelContractError
from edge_sdk.model.model_file import split
from edge_sdk.model.network_card import OTHER_TASK
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.runtime.network import Network, Output
from edge_sdk.types import FloatArray, UInt8Array

KEY_POINTS = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
)  # fmt: skip
LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)  # fmt: skip
_SHOWN_FROM = 0.3


@dataclass(frozen=True)
class PoseNetwork:
    """A pose network.

    Args:
        size: Height and width of its input.
        run: Returns its outputs for an image of this size, uint8, RGB.
    """

    size: tuple[int, int]
    run: Callable[[UInt8Array], list[FloatArray]]


def open_pose_network(path: Path) -> PoseNetwork:
    """Open a converted file, or an integer network with uint8 input."""
    try:
        carded = Network.open(path, task=OTHER_TASK)
    except ModelCardError:
        return _open_integer(path)
    contract = carded.card.input
    return PoseNetwork((contract.height, contract.width), lambda image: list(carded.run(image).values()))


def _open_integer(path: Path) -> PoseNetwork:
    backend = LiteRtNetwork(_without_decoder(TfliteNetwork(split(path.read_bytes())[0])).data)
    if backend.input.dtype != np.uint8:
        raise ModelContractError(f"{path}: expected uint8 input, found {backend.input.dtype.name}")

    def run(image: UInt8Array) -> list[FloatArray]:
        np.copyto(backend.input_view()[0], image)
        backend.invoke()
        return [
            Output(backend.output_view(i), info.scale, info.zero_point).real()
            for i, info in enumerate(backend.outputs)
        ]

    return PoseNetwork(backend.input.shape[1:3], run)


def _without_decoder(network: TfliteNetwork) -> TfliteNetwork:
    """Cut off custom operators at the end of a network; their inputs become its outputs."""
    graph = network.edit()
    custom = [operator for operator in graph.operators if graph.op_name(operator).startswith("'")]
    if not custom:
        return network
    graph.set_outputs([i for i in indices(custom[0].inputs) if graph.constant(i) is None])
    graph.model.signatureDefs = []
    graph.prune()
    return TfliteNetwork.of(graph)


def decode(outputs: list[FloatArray], size: tuple[int, int]) -> FloatArray:
    """Find the key points of one person.

    Args:
        outputs: The outputs of a MoveNet or PoseNet.
        size: Height and width of the network's input.

    Returns:
        Shape (17, 3): row and column as shares of the input, and score, 0..1.

    Raises:
        ModelContractError: The outputs are those of another network.
    """
    shapes = {output.shape[1:]: output[0] for output in outputs}
    if (1, 17, 3) in shapes:
        return shapes[(1, 17, 3)][0]
    maps = {shape[-1]: value for shape, value in shapes.items() if len(shape) == 3}
    if 17 not in maps or 34 not in maps:
        raise ModelContractError(
            f"expected (1, 17, 3), or maps of 17 and 34 channels, found {[list(shape) for shape in shapes]}"
        )
    return _decode_maps(maps[17], maps[34], size)


def _decode_maps(heatmaps: FloatArray, offsets: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Take the best cell of each key point and add its offset in pixels; offsets are 17 rows, then 17 columns."""
    rows, columns, count = heatmaps.shape
    points = np.empty((count, 3), np.float32)
    for k in range(count):
        row, column = divmod(int(heatmaps[..., k].argmax()), columns)
        y = row * (size[0] - 1) / (rows - 1) + offsets[row, column, k]
        x = column * (size[1] - 1) / (columns - 1) + offsets[row, column, count + k]
        points[k] = y / size[0], x / size[1], 1 / (1 + np.exp(-heatmaps[row, column, k]))
    return points


def letterbox(picture: Image.Image, size: tuple[int, int]) -> tuple[UInt8Array, float]:
    """Scale a picture into the top left corner of the network's input; return the input and the scale."""
    height, width = size
    scale = min(height / picture.height, width / picture.width)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(picture.resize((round(picture.width * scale), round(picture.height * scale))))
    return np.asarray(canvas), scale


def draw(picture: Image.Image, points: FloatArray) -> Image.Image:
    """Draw key points and limbs.

    Args:
        picture: The picture.
        points: Shape (17, 3): row and column in pixels, and score.
    """
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    radius = max(2, picture.width // 100)
    for a, b in LIMBS:
        if min(points[a, 2], points[b, 2]) >= _SHOWN_FROM:
            pen.line([points[a, 1], points[a, 0], points[b, 1], points[b, 0]], (0, 200, 255), radius)
    for y, x, score in points:
        if score >= _SHOWN_FROM:
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], (255, 80, 0))
    return drawn


def main() -> None:
    """Run the network on the picture, print the key points, and write the drawing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    network = open_pose_network(arguments.network)
    picture = Image.open(arguments.picture).convert("RGB")
    image, scale = letterbox(picture, network.size)
    points = decode(network.run(image), network.size).copy()
    points[:, :2] *= np.array(network.size) / scale
    for name, (y, x, score) in zip(KEY_POINTS, points, strict=True):
        print(f"{name:<15} x {x:7.1f}  y {y:7.1f}  score {score:.2f}")
    draw(picture, points).save(arguments.output)


if __name__ == "__main__":
    main()
