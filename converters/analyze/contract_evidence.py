"""Measure how well a network separates images under several input contracts, without labels.

The right contract is the one for which the network was trained. Under it, different images have different embeddings, and
a small change of an image hardly changes its embedding. Under a wrong one, all images look alike or small changes matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.data.calibration import real_inputs
from converters.graph.multiplications import multiplications
from converters.graph.network import Network
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import real_table
from edge_sdk.types import Float64Array, FloatArray, UInt8Array

#: ImageNet's mean and standard deviation in pixels 0..255, for red, green and blue, and for gray.
IMAGENET_MEAN, IMAGENET_SCALE = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_GRAY_MEAN, _GRAY_SCALE = (114.5,), (57.6,)
#: Number of images to measure. Large networks get fewer, so that the check stays within a number of multiplications.
MOST_IMAGES, LEAST_IMAGES = 48, 16
_MULTIPLICATIONS = 120e9
_INFERENCES_PER_IMAGE = 11
#: Contracts are the same for this check if no input value differs by more than this share of the range.
_SAME = 0.02
_SHIFT = 0.03
_CONTRAST, _BRIGHTNESS = 0.85, 12.0
_LEAST_NORM = 1e-12


@dataclass(frozen=True)
class Candidate:
    """An input contract to try.

    Args:
        name: Short name, such as ``pixels 0..255``.
        contract: The contract.
    """

    name: str
    contract: InputContract

    @property
    def options(self) -> str:
        """Options of ``edge-convert`` that give the contract, without size and alignment."""
        mean, scale = _numbers(self.contract.mean), _numbers(self.contract.scale)
        ranges = {("0", "1"): "--range 0..255", ("0", "255"): "--range 0..1"}
        return f"--color {self.contract.color} {ranges.get((mean, scale), f'--mean {mean} --scale {scale}')}"

    @property
    def contrast(self) -> float:
        """Width of the range of input values."""
        low, high = self.contract.real_range
        return high - low


@dataclass(frozen=True, eq=False)
class Measurement:
    """Embeddings of the same images under one contract.

    Args:
        candidate: The contract.
        outputs: Shape (n, D), float64, the network's raw outputs.
        mated: Cosines of embeddings of an image and of its changed copies, shape (m,).
    """

    candidate: Candidate
    outputs: Float64Array
    mated: Float64Array

    @property
    def norms(self) -> Float64Array:
        """L2 norms of the raw outputs, shape (n,)."""
        norms: Float64Array = np.maximum(np.linalg.norm(self.outputs, axis=1), _LEAST_NORM)
        return norms

    @property
    def cosines(self) -> Float64Array:
        """Cosines of all pairs of different images."""
        return self._table()[np.triu_indices(len(self.outputs), 1)]

    @property
    def mean_cosine(self) -> float:
        """Mean cosine of different images; 1 if all embeddings are alike."""
        return float(self.cosines.mean())

    @property
    def separation(self) -> float:
        """Sensitivity index d' between cosines of changed copies and of different images (Green and Swets 1966)."""
        spread = float(np.sqrt((self.mated.var() + self.cosines.var()) / 2))
        return max(0.0, float(self.mated.mean()) - self.mean_cosine) / spread if spread > 1e-9 else 0.0

    @property
    def quality(self) -> float:
        """Logarithm of separation times spread (1 - mean cosine); comparable between contracts of one network."""
        return float(np.log(max(self.separation, 1e-3)) + np.log(max(1 - self.mean_cosine, 1e-9)))

    @property
    def strength(self) -> Float64Array:
        """Logarithm of norm times distance to the other images, for each image, shape (n,)."""
        others = (self._table().sum(axis=1) - 1) / (len(self.outputs) - 1)
        strength: Float64Array = np.log(self.norms) + np.log(np.maximum(1 - others, 1e-9))
        return strength

    def _table(self) -> Float64Array:
        units = self.outputs / self.norms[:, None]
        table: Float64Array = units @ units.T
        return table


def usual_candidates(contract: InputContract) -> list[Candidate]:
    """List the given contract first, then the usual ones that differ from it, with its size and channel order."""
    mean, scale = (IMAGENET_MEAN, IMAGENET_SCALE) if contract.channels == 3 else (_GRAY_MEAN, _GRAY_SCALE)
    if contract.color == "bgr":
        mean, scale = mean[::-1], scale[::-1]
    channels = contract.channels
    values = [
        ("pixels 0..255", (0.0,) * channels, (1.0,) * channels),
        ("(pixel - 127.5) / 128", (127.5,) * channels, (128.0,) * channels),
        ("0..1", (0.0,) * channels, (255.0,) * channels),
        ("ImageNet mean and deviation", mean, scale),
    ]
    usual = [Candidate(name, replace(contract, mean=m, scale=s)) for name, m, s in values]
    own = next((item for item in usual if same_values(item.contract, contract)), None)
    name = contract.describe().partition(", ")[2] if own is None else own.name
    return [Candidate(name, contract), *(item for item in usual if item is not own)]


def swapped(candidate: Candidate) -> Candidate | None:
    """Return the same contract with the other channel order; None for gray."""
    contract = candidate.contract
    if contract.color == "gray":
        return None
    other = "bgr" if contract.color == "rgb" else "rgb"
    turned = replace(contract, color=other, mean=contract.mean[::-1], scale=contract.scale[::-1])
    return Candidate(f"{candidate.name}, {other.upper()}", turned)


def stronger(candidate: Candidate) -> Candidate:
    """Return the contract with twice the contrast around the middle pixel value."""
    contract = candidate.contract
    mean = tuple((127.5 + m) / 2 for m in contract.mean)
    scale = tuple(s / 2 for s in contract.scale)
    return Candidate(f"twice the contrast of {candidate.name}", replace(contract, mean=mean, scale=scale))


def same_values(first: InputContract, second: InputContract) -> bool:
    """Return True if two contracts give nearly the same input values in the same channel order."""
    if first.color != second.color:
        return False
    values = real_table(first), real_table(second)
    width = max(float(np.ptp(values[0])), float(np.ptp(values[1])))
    return float(np.abs(values[0] - values[1]).max()) <= _SAME * width


class Probe:
    """Runs a float network on images under any contract.

    Args:
        network: The float network, with one input and one output.
        pixels: Shape (n, H, W, C), uint8: calibration images; an even choice of them is measured.
        progress: Called with (done, total) inferences, approximately.
    """

    def __init__(
        self, network: Network, pixels: UInt8Array, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        cost = max(1, sum(multiplications(network.graph).values()))
        count = int(np.clip(_MULTIPLICATIONS / cost / _INFERENCES_PER_IMAGE, LEAST_IMAGES, MOST_IMAGES))
        count = min(count, len(pixels))
        self.pixels = pixels[[i * len(pixels) // count for i in range(count)]]
        self._changed = np.concatenate([change(self.pixels[: max(4, count // 2)]) for change in (shift, dim)])
        self._backend = LiteRtBackend(network.data, threads=2)
        self._progress = progress
        self._done, self._total = 0, count * _INFERENCES_PER_IMAGE

    def measure(self, candidate: Candidate) -> Measurement | None:
        """Embed the images and their changed copies; None if an output is not finite."""
        outputs = self.outputs(candidate)
        changed = self._run(candidate.contract, self._changed)
        if outputs is None or not np.isfinite(changed).all():
            return None
        size = len(self._changed) // 2
        mated = [_cosines(outputs[:size], changed[start : start + size]) for start in (0, size)]
        return Measurement(candidate, outputs, np.concatenate(mated))

    def outputs(self, candidate: Candidate) -> Float64Array | None:
        """Return the raw outputs of the images, shape (n, D), float64; None if a value is not finite."""
        return self.outputs_of(candidate, self.pixels)

    def outputs_of(self, candidate: Candidate, pixels: UInt8Array) -> Float64Array | None:
        """Return the raw outputs of other images, shape (n, D), float64; None if a value is not finite."""
        outputs = self._run(candidate.contract, pixels).astype(np.float64)
        return outputs if np.isfinite(outputs).all() else None

    def _run(self, contract: InputContract, pixels: UInt8Array) -> FloatArray:
        outputs = np.empty((len(pixels), int(np.prod(self._backend.output.shape))), np.float32)
        for position in range(len(pixels)):
            np.copyto(self._backend.input_view(), real_inputs(pixels[position : position + 1], contract))
            self._backend.invoke()
            outputs[position] = self._backend.output_view().reshape(-1)
            self._done += 1
            if self._progress is not None:
                self._progress(min(self._done, self._total), self._total)
        return outputs


def shift(pixels: UInt8Array) -> UInt8Array:
    """Move images down and right by 3 % of their width; the border repeats the edge."""
    step = max(1, round(_SHIFT * pixels.shape[2]))
    moved = np.pad(pixels, ((0, 0), (step, 0), (step, 0), (0, 0)), mode="edge")
    return moved[:, : pixels.shape[1], : pixels.shape[2]]


def dim(pixels: UInt8Array) -> UInt8Array:
    """Reduce the contrast of images to 85 % and raise their brightness by 12 levels."""
    table = np.clip((np.arange(256) - 128.0) * _CONTRAST + 128 + _BRIGHTNESS, 0, 255).astype(np.uint8)
    dimmed: UInt8Array = table[pixels]
    return dimmed


def _cosines(first: Float64Array, second: FloatArray) -> Float64Array:
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second.astype(np.float64), axis=1)
    products: Float64Array = (first * second).sum(axis=1) / np.maximum(norms, _LEAST_NORM)
    return products


def _numbers(values: Sequence[float]) -> str:
    """Format numbers as an option's value: one number if all are equal, otherwise separated by commas."""
    return ",".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))


def paired(
    first: Sequence[float] | Float64Array, second: Sequence[float] | Float64Array
) -> tuple[float, float, float]:
    """Compare values of the same images: mean difference, its standard score, and share of images where it is positive."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    mean = float(difference.mean())
    return mean, mean / max(error, 1e-12), float((difference > 0).mean())
