"""Compare a replayed int8 network with the recorded one: first by bytes, then by outputs for generated inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.generated import GENERATED_INPUTS
from converters.errors import AccuracyGateError, ConversionError
from converters.graph.network import Network
from converters.quantize.recorded import RecordedOutput, Recording
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import golden_outputs
from edge_sdk.types import Float64Array

#: Name of the output of an embedding network.
EMBEDDING = "embedding"
#: Lowest cosine of a replayed embedding to the recorded one. Measured in docs/measurements/int8.md.
LOWEST_COSINE = 0.99


@dataclass(frozen=True)
class ReplayCheck:
    """Comparison of a replayed network with the recorded one. The field names are keys of the JSON report.

    Args:
        same_float: True if the float network has the recorded bytes.
        same_bytes: True if the int8 network has the recorded bytes.
        inputs: Number of generated inputs whose outputs were compared.
        largest_lsb: Largest difference of an output value, in LSB of the int8 network.
        lowest_cosine: Lowest cosine of an output to the recorded one.
        images: Number of calibration images behind the recorded statistics.
    """

    same_float: bool
    same_bytes: bool
    inputs: int
    largest_lsb: float
    lowest_cosine: float
    images: int

    def line(self) -> str:
        """Return the result as one line."""
        if self.same_bytes and not self.largest_lsb:
            return "replayed: same bytes as recorded"
        what = "same bytes as recorded" if self.same_bytes else "the int8 bytes differ from the recorded ones"
        network = "" if self.same_float else ", and so does the float network"
        return (
            f"replayed: {what}{network}; on {self.inputs} generated inputs the outputs differ by at most"
            f" {self.largest_lsb:g} LSB, cosine to the recorded outputs {self.lowest_cosine:.4f} or more"
        )


def record_outputs(network: Network, baseline: Network, contract: InputContract) -> dict[str, RecordedOutput]:
    """Run an int8 embedding network and its float network on generated inputs."""
    output, codes = _run(network, contract)
    _, reference = _run(baseline, contract)
    return {EMBEDDING: RecordedOutput(codes, output.scale, output.zero_point, reference.astype(np.float32))}


def _run(network: Network, contract: InputContract) -> tuple[TensorInfo, NDArray[Any]]:
    backend = LiteRtBackend(network.data)
    seeds = list(range(1, GENERATED_INPUTS + 1))
    return backend.output, golden_outputs(backend, contract, seeds)[1]


def check_replay(
    network: Network, baseline: Network, contract: InputContract, recording: Recording
) -> ReplayCheck:
    """Compare a replayed embedding network with the recording.

    Args:
        network: The replayed int8 network, as it is written.
        baseline: The canonical float network.
        contract: The input contract.
        recording: The recording that was replayed.

    Raises:
        ConversionError: The network has other outputs than the recorded one.
    """
    return compare_outputs(
        record_outputs(network, baseline, contract),
        recording,
        same_float=baseline.digest == recording.float_sha256,
        same_bytes=network.digest == recording.int8_sha256,
    )


def compare_outputs(
    outputs: Mapping[str, RecordedOutput], recording: Recording, *, same_float: bool, same_bytes: bool
) -> ReplayCheck:
    """Compare outputs for generated inputs with the recorded ones.

    Raises:
        ConversionError: Names, shapes or types of the outputs differ.
    """
    expected = recording.outputs
    forms = [
        {name: (output.codes.shape, output.codes.dtype.name) for name, output in named.items()}
        for named in (expected, outputs)
    ]
    if forms[0] != forms[1]:
        raise ConversionError(
            f"recipe: statistics: expected outputs {_described(forms[1])}, as this network has, found"
            f" {_described(forms[0])}; the statistics are those of another network",
            hint="replay a recipe on the file that it was recorded from, or convert with --calibration",
        )
    largest = max(
        float(np.abs(outputs[name].codes.astype(np.float64) - output.codes.astype(np.float64)).max())
        for name, output in expected.items()
    )
    lowest = min(_lowest_cosine(outputs[name].real, output.real) for name, output in expected.items())
    return ReplayCheck(
        same_float=same_float,
        same_bytes=same_bytes,
        inputs=len(next(iter(expected.values())).codes),
        largest_lsb=largest,
        lowest_cosine=lowest,
        images=recording.calibration["images"],
    )


def raise_if_different(name: str, check: ReplayCheck) -> None:
    """Refuse a replayed network that is not the recorded one within the tolerance.

    Raises:
        AccuracyGateError: An output has a cosine below ``LOWEST_COSINE`` to the recorded one.
    """
    if check.lowest_cosine >= LOWEST_COSINE:
        return
    cause = "this is another float network" if not check.same_float else "the tools quantize differently"
    raise AccuracyGateError(
        f"{name}: expected a cosine of at least {LOWEST_COSINE} between replayed and recorded outputs for generated"
        f" inputs, found {check.lowest_cosine:.4f} ({check.largest_lsb:g} LSB); nothing was written",
        hint=f"{cause}: replay the recipe on the file and with the tools that it names, or convert with --calibration",
    )


def _lowest_cosine(first: Float64Array, second: Float64Array) -> float:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    same = (first == second).all(axis=1)
    cosines = (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    return float(np.where(same, 1.0, cosines).min())


def _described(forms: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in sorted(forms.items()))
