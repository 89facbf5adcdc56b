"""Generate C++ sources for tflite-micro: the network, its operators, constants from the card, and golden vectors.

The sources are ASCII and deterministic: the same arguments give the same text. All names are in one namespace, derived from the file name.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.targets.microcontroller.operators import RESOLVER_METHODS
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.card import InputContract, ModelCard
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.quantization import code_table

_PER_LINE = 16


@dataclass(frozen=True)
class GoldenTensors:
    """Golden vectors as tensors: inputs with the outputs that tflite-micro computed on the workstation.

    Args:
        inputs: Input tensors, shape (n, H, W, C), int8.
        outputs: Raw output tensors, shape (n, D), int8.
        seeds: Seeds of the smooth fields (``edge_sdk.model.golden``) that the inputs encode.
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]
    seeds: tuple[int, ...]


def namespace_of(stem: str) -> str:
    """Turn a file name into a C++ identifier: ``face-1.micro_int8`` becomes ``face_1_micro_int8``."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_").lower()
    return f"model_{name}" if not name or name[0].isdigit() else name


def sources(
    stem: str,
    network: bytes,
    operators: Sequence[str],
    card: ModelCard,
    tensors: tuple[TensorInfo, TensorInfo],
    golden: GoldenTensors,
    *,
    arena_bytes: int,
    model_id: bytes,
) -> Mapping[str, bytes]:
    """Generate the source files of one model.

    Args:
        stem: File name of the artefact without ``.tflite``; the namespace is derived from it.
        network: FlatBuffer of the network, without the card.
        operators: Kinds of operators in the network, each a key of ``RESOLVER_METHODS``.
        card: Model card of the artefact.
        tensors: Input tensor and output tensor.
        golden: Golden vectors.
        arena_bytes: Size of the smallest sufficient arena on the workstation.
        model_id: SHA-256 of the whole .tflite, 32 bytes; it identifies the embedding space.

    Returns:
        File name -> content: ``NAME_model_data.h`` and ``.cc``, ``NAME_operators.h``, ``NAME_constants.h``,
        ``NAME_golden.h`` and ``.cc``.
    """
    name = namespace_of(stem)
    texts = {
        f"{name}_model_data.h": _model_header(name, network),
        f"{name}_model_data.cc": _model_data(name, network),
        f"{name}_operators.h": _operators(name, operators),
        f"{name}_constants.h": _constants(name, card, tensors, arena_bytes, model_id),
        f"{name}_golden.h": _golden_header(name, golden),
        f"{name}_golden.cc": _golden(name, golden),
    }
    return {file: text.encode("ascii") for file, text in texts.items()}


def _header(name: str, part: str, body: str, includes: Sequence[str] = ()) -> str:
    guard = f"{name}_{part}_H_".upper()
    lines = "".join(f"#include {include}\n" for include in includes)
    return (
        f"// Written by edge-convert. Do not edit.\n#ifndef {guard}\n#define {guard}\n\n{lines}\n"
        f"namespace {name} {{\n\n{body}\n}}  // namespace {name}\n\n#endif  // {guard}\n"
    )


def _unit(name: str, part: str, body: str) -> str:
    return (
        f'// Written by edge-convert. Do not edit.\n#include "{name}_{part}.h"\n\n'
        f"namespace {name} {{\n\n{body}\n}}  // namespace {name}\n"
    )


def _model_header(name: str, network: bytes) -> str:
    digest = hashlib.sha256(network).hexdigest()
    body = (
        f"// The network, a FlatBuffer; SHA-256 {digest}.\n"
        "// Its constants are at multiples of 16 bytes from its start.\n"
        f"constexpr std::size_t kModelSize = {len(network)};\n"
        "extern const std::uint8_t kModelData[kModelSize];\n"
    )
    return _header(name, "model_data", body, ("<cstddef>", "<cstdint>"))


def _model_data(name: str, network: bytes) -> str:
    values = ",\n".join(
        "    " + ", ".join(f"0x{byte:02x}" for byte in network[at : at + _PER_LINE])
        for at in range(0, len(network), _PER_LINE)
    )
    return _unit(
        name, "model_data", f"alignas(16) const std::uint8_t kModelData[kModelSize] = {{\n{values}}};\n"
    )


def _operators(name: str, operators: Sequence[str]) -> str:
    kinds = sorted(set(operators))
    adds = "".join(
        f"  if (resolver.{RESOLVER_METHODS[kind]}() != kTfLiteOk) return kTfLiteError;\n" for kind in kinds
    )
    body = (
        "// Exactly the kinds of operators in the network; other kernels are not linked.\n"
        f"constexpr unsigned int kOperatorCount = {len(kinds)};\n"
        "using Resolver = tflite::MicroMutableOpResolver<kOperatorCount>;\n\n"
        "inline TfLiteStatus AddOperators(Resolver& resolver) {\n"
        f"{adds}  return kTfLiteOk;\n}}\n"
    )
    return _header(name, "operators", body, ('"tensorflow/lite/micro/micro_mutable_op_resolver.h"',))


def _constants(
    name: str, card: ModelCard, tensors: tuple[TensorInfo, TensorInfo], arena_bytes: int, model_id: bytes
) -> str:
    tensor, output = tensors
    point = _operating_point(card.operating_points)
    body = (
        f"// {_ascii(card.name)} {_ascii(card.version)}: {_ascii(card.input.describe())}\n"
        f"{_array_input(card.input) if isinstance(card.input, ArrayContract) else _image_input(card.input, tensor)}"
        f"constexpr float kInputScale = {_float(tensor.scale)};\n"
        f"constexpr int kInputZeroPoint = {tensor.zero_point};\n\n"
        f"constexpr int kDimension = {card.dimension};\n"
        f"constexpr float kOutputScale = {_float(output.scale)};\n"
        f"constexpr int kOutputZeroPoint = {output.zero_point};\n\n"
        "// Arena size measured with tflite-micro on a 64-bit workstation with reference kernels. A 32-bit core needs\n"
        "// less for its pointers; CMSIS-NN and vendors' kernels need additional scratch memory.\n"
        f"constexpr std::size_t kArenaBytes = {arena_bytes};\n\n"
        f"// SHA-256 of the .tflite, {model_id.hex()}.\n"
        "// Only templates with the same model id may be compared.\n"
        f"constexpr std::uint8_t kModelId[32] = {{\n    {_wrap(list(model_id), 4)}}};\n\n"
        f"{point}"
    )
    return _header(name, "constants", body, ("<cstddef>", "<cstdint>"))


def _image_input(contract: InputContract, tensor: TensorInfo) -> str:
    table = code_table(contract, tensor)
    codes = ",\n".join(f"    {{{_wrap(table[:, channel], 5)}}}" for channel in range(table.shape[1]))
    return (
        f"constexpr int kHeight = {contract.height};\n"
        f"constexpr int kWidth = {contract.width};\n"
        f"constexpr int kChannels = {contract.channels};\n"
        "// True if the network's channel order is BGR. Images are RGB everywhere else.\n"
        f"constexpr bool kBlueFirst = {'true' if contract.color == 'bgr' else 'false'};\n\n"
        "// Value of the input tensor for each pixel value, by channel of the network.\n"
        f"constexpr std::int8_t kPixelCodes[kChannels][256] = {{\n{codes}}};\n"
    )


def _array_input(contract: ArrayContract) -> str:
    sides = ", ".join(map(str, contract.shape))
    return (
        f"constexpr int kInputAxes = {len(contract.shape)};\n"
        f"constexpr int kInputShape[kInputAxes] = {{{sides}}};\n"
        f"constexpr int kInputValues = {math.prod(contract.shape)};\n"
        "// Refuse a sample with a value outside this range, or with NaN.\n"
        f"constexpr float kInputLow = {_float(contract.low)};\n"
        f"constexpr float kInputHigh = {_float(contract.high)};\n"
        "// Value of the input tensor: value / kInputScale in double precision, rounded half to even, plus\n"
        "// kInputZeroPoint, limited to -128..127.\n"
    )


def _operating_point(points: Sequence[OperatingPoint]) -> str:
    if not points:
        return (
            "// The card has no operating point, so nothing matches. Measure one: edge-convert evaluate --write-card.\n"
            "constexpr bool kHasThreshold = false;\n"
            "constexpr float kThreshold = 2.0F;\n"
            "constexpr std::uint32_t kThresholdQ31 = 0;\n"
        )
    strictest = min(points, key=lambda point: (point.fmr, -point.threshold))
    return (
        f"// FMR {strictest.fmr:g}, FNMR {strictest.fnmr:g}, from {strictest.non_mated_trials} non-mated comparisons"
        f" on {_ascii(strictest.data_set) or 'unnamed images'},\n"
        f"// measured with: {_ascii(f'{strictest.kernels} {strictest.runtime}'.strip()) or 'not recorded'}.\n"
        "constexpr bool kHasThreshold = true;\n"
        f"constexpr float kThreshold = {_float(_round_up(strictest.threshold))};\n"
        "// The threshold times 2^31, for cores without a floating point unit; 0 accepts nothing.\n"
        f"constexpr std::uint32_t kThresholdQ31 = {max(0, math.ceil(strictest.threshold * 2**31))}U;\n"
    )


def _golden_header(name: str, golden: GoldenTensors) -> str:
    count, *shape = golden.inputs.shape
    size, dimension = int(np.prod(shape)), golden.outputs.shape[1]
    body = (
        f"// Smooth fields of the seeds {', '.join(map(str, golden.seeds))}, as defined in docs/reference/model-card.md, and the outputs that\n"
        "// tflite-micro computed on the workstation. Its reference kernels compute the same values on any core.\n"
        f"constexpr int kGoldenCount = {count};\n"
        f"constexpr std::size_t kGoldenInputSize = {size};\n"
        f"constexpr std::size_t kGoldenOutputSize = {dimension};\n"
        "extern const std::int8_t kGoldenInput[kGoldenCount][kGoldenInputSize];\n"
        "extern const std::int8_t kGoldenOutput[kGoldenCount][kGoldenOutputSize];\n"
    )
    return _header(name, "golden", body, ("<cstddef>", "<cstdint>"))


def _golden(name: str, golden: GoldenTensors) -> str:
    def rows(values: NDArray[np.int8]) -> str:
        return ",\n".join(f"    {{{_wrap(row, 5)}}}" for row in values.reshape(len(values), -1))

    return _unit(
        name,
        "golden",
        f"const std::int8_t kGoldenInput[kGoldenCount][kGoldenInputSize] = {{\n{rows(golden.inputs)}}};\n\n"
        f"const std::int8_t kGoldenOutput[kGoldenCount][kGoldenOutputSize] = {{\n{rows(golden.outputs)}}};\n",
    )


def _wrap(values: Sequence[int] | NDArray[np.int8], indent: int) -> str:
    numbers = [str(int(value)) for value in values]
    lines = [", ".join(numbers[at : at + 24]) for at in range(0, len(numbers), 24)]
    return (",\n" + " " * indent).join(lines)


def _float(value: float) -> str:
    text = repr(float(np.float32(value)))
    return f"{text}F" if any(mark in text for mark in ".en") else f"{text}.0F"


def _round_up(threshold: float) -> float:
    """Return the smallest float32 that is not below the threshold, because rounding must not lower it."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) >= threshold else np.nextafter(nearest, np.float32(np.inf)))


def _ascii(text: str) -> str:
    """Make text safe for a one-line comment: no line end, no backslash that would continue the line."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
