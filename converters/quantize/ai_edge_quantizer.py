"""Quantize weights, or weights and activations, to int8 with ai-edge-quantizer (AEQ).

An operator that AEQ has no integer form for, such as PRELU, stays in float, between a DEQUANTIZE and a QUANTIZE.
XNNPACK runs such a network in one partition.
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
from converters.graph.rewrites.unshare import share_weights
from converters.quantize.statistics import TensorRange


def quantize_static(
    network: Network,
    ranges: Mapping[str, TensorRange],
    *,
    float_operators: Collection[str] = (),
    keep_float: Collection[str] = (),
) -> Network:
    """Quantize a canonical float network to int8 weights and activations.

    Args:
        network: A canonical float network, with its signature.
        ranges: Range of every activation by tensor name. Weights must not have an entry, because AEQ would use it for the
            whole weight instead of one scale per channel.
        float_operators: Kinds of operators to leave in float, such as ``HARD_SWISH``, for which AEQ has an integer form
            but XNNPACK has none.
        keep_float: Names of the output tensors of operators to leave in float.

    Returns:
        The int8 network, with its signature and with its buffers inside the FlatBuffer.

    Raises:
        ConversionError: AEQ rejects the network.
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
    _keep_float(tool, keep_float)
    return _run(tool, statistics)


def quantize_dynamic(
    network: Network, *, float_operators: Collection[str] = (), keep_float: Collection[str] = ()
) -> Network:
    """Quantize only the weights of a canonical float network to int8, with a scale per channel.

    Activations stay in float. The runtime rounds the input of each operator to int8 itself (dynamic range), so no
    calibration images are needed.

    Args:
        network: A canonical float network, with its signature.
        float_operators: Kinds of operators to leave in float, such as ``DEPTHWISE_CONV_2D``, which XNNPACK runs with
            int8 weights only if the activations are int8.
        keep_float: Names of the output tensors of operators to leave in float.

    Returns:
        The network, with its signature and with its buffers inside the FlatBuffer.

    Raises:
        ConversionError: AEQ rejects the network.
    """
    from ai_edge_quantizer import qtyping, quantizer, recipe

    tool = quantizer.Quantizer(network.data, recipe.dynamic_wi8_afp32())
    for kind in sorted(float_operators):
        tool.update_quantization_recipe(".*", qtyping.TFLOperationName[kind], None, "no_quantize")
    _keep_float(tool, keep_float)
    return _run(tool, {})


def _keep_float(tool: Any, names: Collection[str]) -> None:
    from ai_edge_quantizer import qtyping

    for name in sorted(names):
        # The text that AEQ matches is the name of each output of the operator, followed by a semicolon.
        tool.update_quantization_recipe(
            f"^{re.escape(name)};$", qtyping.TFLOperationName.ALL_SUPPORTED, None, "no_quantize"
        )


def _run(tool: Any, statistics: dict[str, dict[str, Any]]) -> Network:
    try:
        # AEQ prints progress to stdout, which is reserved for data, and prints progress bars even if it is a pipe.
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = tool.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError, TypeError, NotImplementedError) as error:
        raise ConversionError(f"ai-edge-quantizer cannot quantize this network: {error}") from error
    quantized = Graph.parse(bytes(result.quantized_model))
    share_weights(quantized)
    quantized.prune()
    return Network.of(quantized)


def _statistics(ends: TensorRange, rank: int) -> dict[str, Any]:
    # AEQ expects arrays with the tensor's rank, and a scale above zero; so an empty range is widened.
    high = ends.high if ends.high > ends.low else ends.low + 1e-6
    shape = (1,) * rank
    return {
        "min": np.full(shape, ends.low, np.float32),
        "max": np.full(shape, high, np.float32),
    }
