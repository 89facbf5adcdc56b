"""Calibration: what ranges the activations take on real images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from converters.errors import CalibrationError
from converters.graph import Graph
from converters.image_set import Crops, ImageSet, evenly
from edge_sdk.errors import InputError
from edge_sdk.inference.backends.litert import load_interpreter_class
from edge_sdk.inference.card import InputContract
from edge_sdk.inference.quantization import real_table
from edge_sdk.types import FloatArray, UInt8Array

#: Fewer are allowed; the report then says that the ranges stand on little.
RECOMMENDED_IMAGES = 100
CALIBRATION_IMAGES = 200
HELD_OUT_IMAGES = 100


@dataclass(frozen=True)
class CalibrationSet:
    """The images that ranges come from, and others of the same set that fidelity is measured on.

    Args:
        ranges: What the ranges are taken from.
        held_out: What fidelity is measured on; the same images where the set is too small to part.
        parted: Whether the two share no image.
        available: How many images the set has.
    """

    ranges: Crops
    held_out: Crops
    parted: bool
    available: int

    @property
    def resized(self) -> int:
        """How many of the images had another size and were cut and resized."""
        return self.ranges.resized + (self.held_out.resized if self.parted else 0)


def read_calibration(
    path: str, contract: InputContract, *, progress: Callable[[int, int], None] | None = None
) -> CalibrationSet:
    """Read the calibration images: up to 200 for ranges and up to 100 others to measure on.

    Args:
        path: A folder, .tar or .zip of crops, as the device will see them.
        contract: The size and colour wanted.
        progress: Called with (done, total).

    Raises:
        CalibrationError: No images, or one that cannot be used.
    """
    try:
        images = ImageSet.open(path)
        held = evenly(images.names[1::3], HELD_OUT_IMAGES)
        used = evenly([n for i, n in enumerate(images.names) if i % 3 != 1], CALIBRATION_IMAGES)
        parted = len(images) >= 30
        if not parted:
            used = held = images.names
        total = len(used) + (len(held) if parted else 0)

        def report(offset: int) -> Callable[[int, int], None] | None:
            return None if progress is None else lambda done, _: progress(offset + done, total)

        ranges = images.crops(contract, names=used, progress=report(0))
        held_out = images.crops(contract, names=held, progress=report(len(used))) if parted else ranges
    except InputError as error:
        raise CalibrationError(f"calibration images: {error}", hint=error.hint) from error
    if (ranges.pixels == ranges.pixels[:1]).all() and len(ranges) > 1:
        raise CalibrationError(
            f"calibration images: expected different images, found {len(ranges)} copies of one",
            hint="give photographs like those the device will see",
        )
    return CalibrationSet(ranges, held_out, parted, len(images))


@dataclass(frozen=True)
class TensorRange:
    """The least and the greatest value a tensor took."""

    low: float
    high: float


def activation_ranges(
    network: bytes,
    contract: InputContract,
    pixels: UInt8Array,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Mapping[str, TensorRange]:
    """True min/max of every computed tensor, and the contract's own range for the input.

    Every activation is made an output of the network, so that the fast kernels fill it: five to ten
    times faster than an interpreter that preserves all tensors.

    Args:
        network: A canonical float network.
        contract: Its input contract.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
        progress: Called with (done, total).

    Returns:
        Range by tensor name; constants are not in it.

    Raises:
        CalibrationError: A tensor is not finite on an image.
    """
    graph = Graph.parse(network)
    computed = [i for i in graph.computed() if graph.dtype_name(i) == "float32"]
    names = [graph.name(i) for i in computed]
    input_name = graph.name(graph.inputs[0])
    graph.set_outputs(computed)
    interpreter = load_interpreter_class()(model_content=graph.to_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    target = interpreter.get_input_details()[0]["index"]
    # Two outputs may share one tensor; details come in the order of set_outputs.
    sources = [detail["index"] for detail in interpreter.get_output_details()]
    low = np.full(len(names), np.inf)
    high = np.full(len(names), -np.inf)
    for position in range(len(pixels)):
        interpreter.set_tensor(target, real_inputs(pixels[position : position + 1], contract))
        interpreter.invoke()
        for slot, source in enumerate(sources):
            values = interpreter.get_tensor(source)
            low[slot] = min(low[slot], values.min())
            high[slot] = max(high[slot], values.max())
        if progress is not None:
            progress(position + 1, len(pixels))
    broken = [name for name, a, b in zip(names, low, high, strict=True) if not np.isfinite(a + b)]
    if broken:
        raise CalibrationError(
            f"calibration: expected finite activations, found NaN or infinity in {broken[0]!r}",
            hint="check the input contract; the float network itself overflows on these images",
        )
    ranges = {n: TensorRange(float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)}
    return {input_name: TensorRange(*contract.real_range), **ranges}


def real_inputs(pixels: UInt8Array, contract: InputContract) -> FloatArray:
    """Crops as the network's real inputs.

    Args:
        pixels: Shape (n, H, W, C), uint8; RGB or gray.
        contract: The input contract.

    Returns:
        Shape (n, H, W, C), float32, in the network's channel order.
    """
    table = real_table(contract)
    ordered = pixels[..., ::-1] if contract.color == "bgr" else pixels
    return np.stack([table[ordered[..., c], c] for c in range(contract.channels)], axis=-1)
