"""Compare a replayed int8 network with the recorded one: by bytes, and by outputs for generated inputs.

Other bytes are no failure by themselves: other tools and processors fold constants with other rounding errors, and int8
rounding turns such an error into other codes. So the replayed network is judged by its distance to the recorded outputs of
the float network: it may be slightly larger than that of the recorded int8 network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converters.data.generated import GENERATED_INPUTS, generated_inputs
from converters.errors import AccuracyGateError, ConversionError
from converters.graph.network import Network
from converters.quantize.recorded import RecordedOutput, Recording
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.runtime.backends.litert import LiteRtNetwork
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.types import SampleArray

#: Largest error of a replayed network relative to that of the recorded one, and the absolute error added to it: a loss of
#: mean cosine for embeddings, LSB for other outputs. Random changes of the weights by 1e-7 to 1e-3 of their values raised the
#: error of two face networks by up to 1.1 times, changes by 1e-2 by 1.6 times and more (docs/measurements/int8.md).
ALLOWED_RATIO, ALLOWED_COSINE_LOSS, ALLOWED_LSB = 1.25, 0.001, 1.0
#: Largest error of recorded outputs: a loss of mean cosine, or RMS in LSB. It bounds the allowed error, because the recipe
#: itself states its outputs.
LARGEST_RECORDED_LOSS, LARGEST_RECORDED_LSB = 0.5, 64.0
#: Name of the output of an embedding network.
EMBEDDING = "embedding"
#: Generated inputs and recorded values of each output of a network without an embedding, whose outputs are large.
AUXILIARY_INPUTS, AUXILIARY_VALUES = 4, 256


@dataclass(frozen=True)
class ReplayCheck:
    """Comparison of a replayed network with the recorded one. The field names are keys of the JSON report.

    Args:
        same_float: True if the float network has the recorded bytes.
        same_bytes: True if the int8 network has the recorded bytes.
        inputs: Number of generated inputs whose outputs were compared.
        largest_lsb: Largest difference of an output value to the recorded one, LSB.
        lowest_cosine: Lowest cosine of an embedding to the recorded one; None for other outputs.
        error: Distance of the outputs to those of the recorded float network: 1 - mean cosine for embeddings, RMS in LSB for
            other outputs; that of the output nearest to its limit.
        recorded_error: The same distance of the recorded int8 network.
        allowed_error: Largest allowed distance.
        images: Number of calibration images behind the recorded statistics.
    """

    same_float: bool
    same_bytes: bool
    inputs: int
    largest_lsb: float
    lowest_cosine: float | None
    error: float
    recorded_error: float
    allowed_error: float
    images: int

    @property
    def passed(self) -> bool:
        """True if the replayed network is as close to the float network as the recorded one, within the tolerance."""
        return self.error <= self.allowed_error

    def line(self) -> str:
        """Return the result as one line."""
        if self.same_bytes and not self.largest_lsb:
            return "replayed: same bytes as recorded"
        if self.same_bytes:
            difference = "same bytes as recorded"
        elif self.same_float:
            difference = "the int8 bytes differ from the recorded ones"
        else:
            difference = "the float network differs from the recorded one, and so do the int8 bytes"
        return f"replayed: {difference}; {self.measured()}"

    def measured(self) -> str:
        """Return the differences of the outputs as text."""
        to_recorded = "" if self.lowest_cosine is None else f", lowest cosine {self.lowest_cosine:.4f}"
        return (
            f"on {self.inputs} generated inputs the largest difference to the recorded outputs is"
            f" {self.largest_lsb:g} LSB{to_recorded}; error to float {self.error:.4f}, recorded"
            f" {self.recorded_error:.4f}, allowed {self.allowed_error:.4f}"
        )


def record_embeddings(
    network: Network, baseline: Network, contract: AnyContract
) -> dict[str, RecordedOutput]:
    """Run an int8 embedding network and its float network on generated inputs."""
    return _record(network, baseline, contract, (EMBEDDING,), GENERATED_INPUTS, None)


def record_auxiliary(
    network: Network, baseline: Network, contract: AnyContract, names: Sequence[str]
) -> dict[str, RecordedOutput]:
    """Run an int8 network with several outputs and its float network on generated inputs; keep some values of each output."""
    return _record(network, baseline, contract, names, AUXILIARY_INPUTS, AUXILIARY_VALUES)


def check_embeddings(
    network: Network, baseline: Network, contract: AnyContract, recording: Recording
) -> ReplayCheck:
    """Compare a replayed embedding network with the recording.

    Args:
        network: The replayed int8 network, as it is written.
        baseline: The canonical float network.
        contract: The input contract.
        recording: The recording that was replayed.

    Raises:
        ConversionError: The network has other outputs than the recorded one, or the recorded outputs contradict each other.
    """
    outputs = record_embeddings(network, baseline, contract)
    _require_same_form(outputs, recording.outputs)
    new, old = outputs[EMBEDDING], recording.outputs[EMBEDDING]
    recorded_error = _cosine_loss(old, old)
    if recorded_error > LARGEST_RECORDED_LOSS:
        raise ConversionError(
            f"recipe: statistics: expected recorded outputs of an int8 network and of its float network, found outputs with a"
            f" mean cosine of {1 - recorded_error:.2f}",
            hint="use the recipe as a conversion saved it, or convert with --calibration",
        )
    return ReplayCheck(
        same_float=baseline.digest == recording.float_sha256,
        same_bytes=network.digest == recording.int8_sha256,
        inputs=len(old.codes),
        largest_lsb=_largest_lsb(new, old),
        lowest_cosine=float(_cosines(new.real, old.real).min()),
        error=_cosine_loss(new, old),
        recorded_error=recorded_error,
        allowed_error=ALLOWED_RATIO * recorded_error + ALLOWED_COSINE_LOSS,
        images=recording.calibration["images"],
    )


def check_auxiliary(
    network: Network, baseline: Network, contract: AnyContract, names: Sequence[str], recording: Recording
) -> ReplayCheck:
    """Compare a replayed network with several outputs with the recording; see ``check_embeddings``."""
    outputs = record_auxiliary(network, baseline, contract, names)
    _require_same_form(outputs, recording.outputs)
    pairs = [(outputs[name], old) for name, old in recording.outputs.items()]
    errors = [(_rms_lsb(new, old), _rms_lsb(old, old)) for new, old in pairs]
    scaled = (own for (_, old), (_, own) in zip(pairs, errors, strict=True) if old.scale)
    largest = max(scaled, default=0.0)
    if largest > LARGEST_RECORDED_LSB:
        raise ConversionError(
            "recipe: statistics: expected recorded outputs of an int8 network and of its float network, found outputs that"
            f" differ by {largest:.0f} LSB",
            hint="use the recipe as a conversion saved it, or convert with --calibration",
        )
    error, recorded_error = max(errors, key=lambda pair: pair[0] - ALLOWED_RATIO * pair[1])
    return ReplayCheck(
        same_float=baseline.digest == recording.float_sha256,
        same_bytes=network.digest == recording.int8_sha256,
        inputs=len(pairs[0][1].codes),
        largest_lsb=max(_largest_lsb(new, old) for new, old in pairs),
        lowest_cosine=None,
        error=error,
        recorded_error=recorded_error,
        allowed_error=ALLOWED_RATIO * recorded_error + ALLOWED_LSB,
        images=recording.calibration["images"],
    )


def raise_if_different(name: str, check: ReplayCheck) -> None:
    """Refuse a replayed network that is farther from the float network than the recorded one.

    Raises:
        AccuracyGateError: The error is above the allowed one.
    """
    if check.passed:
        return
    cause = (
        "the tools build another int8 network, or the recipe was changed"
        if check.same_float
        else "the float network is another one"
    )
    raise AccuracyGateError(
        f"{name}: expected a replayed network like the recorded one; {check.measured()}",
        hint=f"{cause}: replay the recipe on the file and with the tools that it names, or convert with --calibration",
    )


def _record(
    network: Network,
    baseline: Network,
    contract: AnyContract,
    names: Sequence[str],
    inputs: int,
    values: int | None,
) -> dict[str, RecordedOutput]:
    pixels = generated_inputs(contract, inputs)
    backend, codes = _run(network, contract, pixels, values)
    _, reference = _run(baseline, contract, pixels, values)
    return {
        name: RecordedOutput(codes[place], info.scale, info.zero_point, reference[place].astype(np.float32))
        for place, (name, info) in enumerate(zip(names, backend.outputs, strict=True))
    }


def _run(
    network: Network, contract: AnyContract, pixels: SampleArray, values: int | None
) -> tuple[LiteRtNetwork, list[NDArray[Any]]]:
    """Return the raw values of each output, shape (n, D), with at most ``values`` columns evenly spaced."""
    backend = LiteRtNetwork(network.data)
    encode = make_encoder(contract, backend.input)
    steps = [1 if values is None else -(-int(np.prod(info.shape)) // values) for info in backend.outputs]
    rows: list[list[NDArray[Any]]] = [[] for _ in steps]
    for image in pixels:
        encode(image, backend.input_view())
        backend.invoke()
        for place, step in enumerate(steps):
            rows[place].append(backend.output_view(place).reshape(-1)[::step].copy())
    return backend, [np.stack(row) for row in rows]


def _require_same_form(outputs: Mapping[str, RecordedOutput], recorded: Mapping[str, RecordedOutput]) -> None:
    forms = [
        {name: (output.codes.shape, output.codes.dtype.name) for name, output in named.items()}
        for named in (outputs, recorded)
    ]
    if forms[0] != forms[1]:
        raise ConversionError(
            f"recipe: statistics: expected outputs {_described(forms[0])}, as this network has, found"
            f" {_described(forms[1])}; the statistics are those of another network",
            hint="replay a recipe on the file that it was recorded from, or convert with --calibration",
        )


def _described(forms: Mapping[str, tuple[tuple[int, ...], str]]) -> str:
    return ", ".join(f"{name} {list(shape)} {dtype}" for name, (shape, dtype) in sorted(forms.items()))


def _largest_lsb(new: RecordedOutput, old: RecordedOutput) -> float:
    return float(np.abs(new.codes.astype(np.float64) - old.codes.astype(np.float64)).max())


def _cosine_loss(output: RecordedOutput, recorded: RecordedOutput) -> float:
    return float(1 - _cosines(output.real, recorded.reference).mean())


def _cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Return the cosine of each pair of rows; 0 if one of them is zero."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: NDArray[Any] = (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1.0)
    return cosines


def _rms_lsb(output: RecordedOutput, recorded: RecordedOutput) -> float:
    difference = output.real - recorded.reference
    return float(np.sqrt(np.mean(difference**2))) / (recorded.scale or 1.0)
