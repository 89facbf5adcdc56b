"""int8 through ai-edge-quantizer (AEQ): per-channel weights, and per-tensor activations where those are wanted.

AEQ decides per operator and puts QUANTIZE/DEQUANTIZE around what it has no integer form for (PRELU among
them), which is what a CPU wants: XNNPACK runs all of it in one partition.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.quantize.statistics import TensorRange


def quantize_int8(
    network: Network,
    ranges: Mapping[str, TensorRange],
    *,
    float_operators: Collection[str] = (),
    keep_float: Collection[str] = (),
) -> Network:
    """Quantize a canonical float network to int8 weights and activations.

    Args:
        network: A canonical float network, with its signature.
        ranges: Range of every activation by tensor name. It must hold no constant: AEQ would take a
            range for a weight as the wish to quantize that weight per tensor.
        float_operators: Kinds of operators to leave in float, such as ``HARD_SWISH``: AEQ has an integer
            form for some that XNNPACK has none for.
        keep_float: Operators to leave in float, by the name of their output tensor.

    Returns:
        The int8 network, its signature kept, its buffers inside the FlatBuffer.

    Raises:
        ConversionError: AEQ refuses the network.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    graph = network.graph
    activations = {
        graph.name(i): len(graph.shape(i))
        for i in [*graph.inputs, *graph.computed()]
        if graph.constant(i) is None
    }
    statistics: dict[str, dict[str, Any]] = {
        name: _statistics(ranges[name], rank) for name, rank in activations.items() if name in ranges
    }
    tool = quantizer.Quantizer(network.data, recipe.static_wi8_ai8())
    for kind in sorted(set(float_operators) & set(qtyping.TFLOperationName.__members__)):
        tool.update_quantization_recipe(".*", qtyping.TFLOperationName[kind], None, "no_quantize")
    for name in sorted(keep_float):
        # AEQ matches the operator's output names, each followed by a semicolon.
        tool.update_quantization_recipe(
            f"^{re.escape(name)};$", qtyping.TFLOperationName.ALL_SUPPORTED, None, "no_quantize"
        )
    return _quantized(tool, statistics)


def quantize_weights(network: Network, *, float_operators: Collection[str] = ()) -> Network:
    """Quantize a canonical float network's weights to int8, a scale for each channel; activations stay float.

    The runtime rounds each operator's input to int8 as it comes (dynamic range), so no calibration image is asked.

    Args:
        network: A canonical float network, with its signature.
        float_operators: Kinds of operators to leave in float, such as ``DEPTHWISE_CONV_2D``, which XNNPACK
            runs with int8 weights under int8 activations alone.

    Returns:
        The network, its signature kept, its buffers inside the FlatBuffer.

    Raises:
        ConversionError: AEQ refuses the network.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    tool = quantizer.Quantizer(network.data, recipe.dynamic_wi8_afp32())
    for kind in sorted(float_operators):
        tool.update_quantization_recipe(".*", qtyping.TFLOperationName[kind], None, "no_quantize")
    return _quantized(tool, {})


def _quantized(tool: Any, statistics: dict[str, dict[str, Any]]) -> Network:
    try:
        # AEQ reports its progress on stdout, which belongs to data, and draws bars into pipes.
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = tool.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
        raise ConversionError(f"ai-edge-quantizer cannot quantize this network: {error}") from error
    quantized = Graph.parse(bytes(result.quantized_model))
    quantized.prune()
    return Network.of(quantized)


def _statistics(found: TensorRange, rank: int) -> dict[str, Any]:
    # AEQ wants the rank of the tensor kept; a constant tensor still needs a scale above zero.
    high = found.high if found.high > found.low else found.low + 1e-6
    shape = (1,) * rank
    return {
        "min": np.full(shape, found.low, np.float32),
        "max": np.full(shape, high, np.float32),
    }
