"""A network as C++ sources for tflite-micro: its bytes, its operators, its numbers, and answers to check it by.

The text is ASCII, and the same arguments give the same text. Everything lies in one namespace, named after the model.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sdk.model.card import ModelCard
from edge_sdk.model.operating_point import OperatingPoint
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.quantization import code_table

#: tflite-micro's names for its operators: ``MicroMutableOpResolver<N>::AddConv2D()``.
ADDERS = {
    "ABS": "AddAbs", "ADD": "AddAdd", "ADD_N": "AddAddN", "ARG_MAX": "AddArgMax", "ARG_MIN": "AddArgMin",
    "AVERAGE_POOL_2D": "AddAveragePool2D", "BATCH_MATMUL": "AddBatchMatMul",
    "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd", "BROADCAST_ARGS": "AddBroadcastArgs",
    "BROADCAST_TO": "AddBroadcastTo", "CAST": "AddCast", "CEIL": "AddCeil", "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D", "COS": "AddCos", "CUMSUM": "AddCumSum", "DEPTH_TO_SPACE": "AddDepthToSpace",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D", "DEQUANTIZE": "AddDequantize", "DIV": "AddDiv", "ELU": "AddElu",
    "EQUAL": "AddEqual", "EXP": "AddExp", "EXPAND_DIMS": "AddExpandDims", "FILL": "AddFill",
    "FLOOR": "AddFloor", "FLOOR_DIV": "AddFloorDiv", "FLOOR_MOD": "AddFloorMod",
    "FULLY_CONNECTED": "AddFullyConnected", "GATHER": "AddGather", "GATHER_ND": "AddGatherNd",
    "GREATER": "AddGreater", "GREATER_EQUAL": "AddGreaterEqual", "HARD_SWISH": "AddHardSwish",
    "L2_NORMALIZATION": "AddL2Normalization", "L2_POOL_2D": "AddL2Pool2D", "LEAKY_RELU": "AddLeakyRelu",
    "LESS": "AddLess", "LESS_EQUAL": "AddLessEqual", "LOG": "AddLog", "LOGICAL_AND": "AddLogicalAnd",
    "LOGICAL_NOT": "AddLogicalNot", "LOGICAL_OR": "AddLogicalOr", "LOGISTIC": "AddLogistic",
    "LOG_SOFTMAX": "AddLogSoftmax", "MAXIMUM": "AddMaximum", "MAX_POOL_2D": "AddMaxPool2D", "MEAN": "AddMean",
    "MINIMUM": "AddMinimum", "MIRROR_PAD": "AddMirrorPad", "MUL": "AddMul", "NEG": "AddNeg",
    "NOT_EQUAL": "AddNotEqual", "PACK": "AddPack", "PAD": "AddPad", "PADV2": "AddPadV2", "PRELU": "AddPrelu",
    "QUANTIZE": "AddQuantize", "REDUCE_MAX": "AddReduceMax", "REDUCE_MIN": "AddReduceMin", "RELU": "AddRelu",
    "RELU6": "AddRelu6", "RESHAPE": "AddReshape", "RESIZE_BILINEAR": "AddResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor", "REVERSE_V2": "AddReverseV2", "ROUND": "AddRound",
    "RSQRT": "AddRsqrt", "SELECT_V2": "AddSelectV2", "SHAPE": "AddShape", "SIN": "AddSin", "SLICE": "AddSlice",
    "SOFTMAX": "AddSoftmax", "SPACE_TO_BATCH_ND": "AddSpaceToBatchNd", "SPACE_TO_DEPTH": "AddSpaceToDepth",
    "SPLIT": "AddSplit", "SPLIT_V": "AddSplitV", "SQRT": "AddSqrt", "SQUARE": "AddSquare",
    "SQUARED_DIFFERENCE": "AddSquaredDifference", "SQUEEZE": "AddSqueeze", "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub", "SUM": "AddSum", "SVDF": "AddSvdf", "TANH": "AddTanh", "TRANSPOSE": "AddTranspose",
    "TRANSPOSE_CONV": "AddTransposeConv", "UNPACK": "AddUnpack", "ZEROS_LIKE": "AddZerosLike",
    "'ethos-u'": "AddEthosU",
}  # fmt: skip

_PER_LINE = 16


@dataclass(frozen=True)
class Golden:
    """Inputs with the answers that tflite-micro gave on the workstation.

    Args:
        inputs: The input tensor of each, shape (n, H, W, C), int8.
        outputs: The raw output tensor of each, shape (n, D), int8.
        seeds: Which smooth fields the inputs are (``edge_sdk.model.golden``).
    """

    inputs: NDArray[np.int8]
    outputs: NDArray[np.int8]
    seeds: tuple[int, ...]


def namespace_of(stem: str) -> str:
    """A name that C++ takes, made of a file's: ``face-1.micro_int8`` becomes ``face_1_micro_int8``."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", stem).strip("_").lower()
    return f"model_{name}" if not name or name[0].isdigit() else name


def sources(
    stem: str,
    network: bytes,
    operators: Sequence[str],
    card: ModelCard,
    tensors: tuple[TensorInfo, TensorInfo],
    golden: Golden,
    *,
    arena_bytes: int,
    model_id: bytes,
) -> Mapping[str, bytes]:
    """The files of one model.

    Args:
        stem: The artefact's file name without its ending; the namespace follows from it.
        network: The FlatBuffer, without the card.
        operators: The kinds of operators in it, each in ``ADDERS``.
        card: What the file says of itself.
        tensors: The input and the output tensor.
        golden: A few questions with their answers.
        arena_bytes: The smallest arena on the workstation.
        model_id: SHA-256 of the whole .tflite, which names the embedding space.

    Returns:
        Name -> content: ``NAME_model_data.h`` and ``.cc``, ``NAME_operators.h``, ``NAME_constants.h``,
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
        "// Constants in it lie at multiples of 16 from its start.\n"
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
    adds = "".join(f"  if (resolver.{ADDERS[kind]}() != kTfLiteOk) return kTfLiteError;\n" for kind in kinds)
    body = (
        "// The kinds of operators in the network, and no other: what is not named here is not linked.\n"
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
    table = code_table(card.input, tensor)
    codes = ",\n".join(f"    {{{_wrap(table[:, channel], 5)}}}" for channel in range(table.shape[1]))
    point = _operating_point(card.operating_points)
    body = (
        f"// {_ascii(card.name)} {_ascii(card.version)}: {_ascii(card.input.describe())}\n"
        f"constexpr int kHeight = {card.input.height};\n"
        f"constexpr int kWidth = {card.input.width};\n"
        f"constexpr int kChannels = {card.input.channels};\n"
        "// Whether the network takes blue first. Images are red first everywhere else.\n"
        f"constexpr bool kBlueFirst = {'true' if card.input.color == 'bgr' else 'false'};\n\n"
        "// The input tensor's code for each pixel value, by the network's channel.\n"
        f"constexpr std::int8_t kPixelCodes[kChannels][256] = {{\n{codes}}};\n"
        f"constexpr float kInputScale = {_float(tensor.scale)};\n"
        f"constexpr int kInputZeroPoint = {tensor.zero_point};\n\n"
        f"constexpr int kDimension = {card.dimension};\n"
        f"constexpr float kOutputScale = {_float(output.scale)};\n"
        f"constexpr int kOutputZeroPoint = {output.zero_point};\n\n"
        "// What the workstation's tflite-micro took (64-bit, reference kernels). A 32-bit core needs less for\n"
        "// its pointers; CMSIS-NN and vendors' kernels ask for scratch memory on top.\n"
        f"constexpr std::size_t kArenaBytes = {arena_bytes};\n\n"
        f"// SHA-256 of the .tflite, {model_id.hex()}.\n"
        "// Templates of one model are never compared with another's.\n"
        f"constexpr std::uint8_t kModelId[32] = {{\n    {_wrap(list(model_id), 4)}}};\n\n"
        f"{point}"
    )
    return _header(name, "constants", body, ("<cstddef>", "<cstdint>"))


def _operating_point(points: Sequence[OperatingPoint]) -> str:
    if not points:
        return (
            "// The card has no operating point, so nothing matches: edge-convert evaluate --write-card measures one.\n"
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
        "// The same times 2^31, for cores without a floating point unit; 0 accepts nothing.\n"
        f"constexpr std::uint32_t kThresholdQ31 = {max(0, math.ceil(strictest.threshold * 2**31))}U;\n"
    )


def _golden_header(name: str, golden: Golden) -> str:
    count, *shape = golden.inputs.shape
    size, dimension = int(np.prod(shape)), golden.outputs.shape[1]
    body = (
        f"// Smooth fields of the seeds {', '.join(map(str, golden.seeds))}, as docs/reference/model-card.md draws them, and what tflite-micro\n"
        "// answered to them on the workstation: the same codes on any core with its reference kernels.\n"
        f"constexpr int kGoldenCount = {count};\n"
        f"constexpr std::size_t kGoldenInputSize = {size};\n"
        f"constexpr std::size_t kGoldenOutputSize = {dimension};\n"
        "extern const std::int8_t kGoldenInput[kGoldenCount][kGoldenInputSize];\n"
        "extern const std::int8_t kGoldenOutput[kGoldenCount][kGoldenOutputSize];\n"
    )
    return _header(name, "golden", body, ("<cstddef>", "<cstdint>"))


def _golden(name: str, golden: Golden) -> str:
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
    """The nearest float32 that is not below: rounding must not loosen a threshold."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) >= threshold else np.nextafter(nearest, np.float32(np.inf)))


def _ascii(text: str) -> str:
    """Text for a comment of one line: no line end, no backslash that would continue it."""
    return "".join(c if " " <= c <= "~" and c != "\\" else "?" for c in text)
