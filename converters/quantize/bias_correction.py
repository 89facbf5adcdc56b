"""Bias correction: subtract the mean error of every convolution from its bias.

Rounding weights and activations shifts the mean of each output channel. The shift is measured on real images and
subtracted from the int32 bias, which has no cost at run time. Operators are corrected in execution order, so each is
measured with corrected input (empirical method of Nagel et al. 2019, arXiv:1906.04721, section 4.2).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from converters.data.tensor_values import Activations
from converters.graph.graph import Graph, indices
from converters.graph.network import Network
from converters.quantize.recorded import require_names
from converters.quantize.statistics import channel_statistics
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.types import Float64Array, SampleArray

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_LIMITS = np.iinfo(np.int32)


def correct_biases(
    int8_network: Network,
    float_network: Network,
    contract: AnyContract,
    pixels: SampleArray,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Network, dict[str, NDArray[np.int32]]]:
    """Subtract each weighted operator's mean error from its bias.

    Args:
        int8_network: The quantized network.
        float_network: Its float reference; tensors are matched by name.
        contract: The input contract.
        pixels: Shape (n, H, W, C), uint8, at the network's size.
        progress: Called with (done, total).

    Returns:
        The network with corrected biases; operators without an int32 bias are unchanged. And the steps added to each bias,
        shape (C,), by the name of the operator's output; ``apply_corrections`` repeats them.
    """
    float_means = {
        name: statistics.mean
        for name, statistics in channel_statistics(float_network, contract, pixels).items()
    }
    graph = int8_network.edit()
    biases = _correctable(graph, float_means)
    corrections = {}
    for position, (name, (output, bias)) in enumerate(biases.items()):
        int8_mean = _channel_means(graph, output, contract, pixels)
        step = np.asarray(graph.tensors[bias].quantization.scale, np.float64)
        steps = np.rint((float_means[name] - int8_mean) / step)
        corrections[name] = steps.clip(_LIMITS.min, _LIMITS.max).astype(np.int32)
        _add(graph, bias, corrections[name])
        if progress is not None:
            progress(position + 1, len(biases))
    graph.prune()
    return Network.of(graph), corrections


def apply_corrections(
    int8_network: Network, float_network: Network, corrections: Mapping[str, NDArray[np.int32]]
) -> Network:
    """Add known corrections to the biases, as ``correct_biases`` did when it returned them.

    Raises:
        ConversionError: The corrections are those of another network.
    """
    reference = float_network.graph
    graph = int8_network.edit()
    biases = _correctable(graph, {reference.name(i) for i in reference.computed()})
    expected = {name: int(np.prod(graph.shape(bias))) for name, (_, bias) in biases.items()}
    require_names("bias_corrections", expected, {name: steps.size for name, steps in corrections.items()})
    for name, (_, bias) in biases.items():
        _add(graph, bias, corrections[name])
    graph.prune()
    return Network.of(graph)


def _add(graph: Graph, bias: int, steps: NDArray[np.int32]) -> None:
    value = graph.constant(bias)
    if value is not None:
        corrected = value.astype(np.int64) + steps.astype(np.int64)
        graph.set_constant(bias, corrected.clip(_LIMITS.min, _LIMITS.max).astype(np.int32))


def _correctable(graph: Graph, names: Collection[str]) -> dict[str, tuple[int, int]]:
    """Return output and bias of every operator with an int32 bias whose output the float network has, by the output's name."""
    biases = {}
    for operator in graph.operators:
        output, bias = indices(operator.outputs)[0], _bias(graph, operator)
        if bias is not None and graph.name(output) in names:
            biases[graph.name(output)] = (output, bias)
    return biases


def _bias(graph: Graph, operator: schema.OperatorT) -> int | None:
    operands = indices(operator.inputs)
    if graph.op_name(operator) not in _WEIGHTED or len(operands) < 3 or operands[2] < 0:
        return None
    # A channel with a single weight is exact, because the scale of the channel fits this weight: no error to correct.
    if graph.op_name(operator) == "DEPTHWISE_CONV_2D" and graph.shape(operands[1])[:3] == (1, 1, 1):
        return None
    unshared = graph.dtype_name(operands[2]) == "int32" and len(graph.consumers(operands[2])) == 1
    return operands[2] if unshared else None


def _channel_means(graph: Graph, output: int, contract: AnyContract, pixels: SampleArray) -> Float64Array:
    """Return the dequantized mean of each channel over the images; operators after this tensor are not run."""
    name = graph.name(output)
    inside = Activations(Network.of(graph), contract, [name])
    tensor = inside.tensors[name]
    total = np.zeros(tensor.shape[-1])
    for crop in pixels:
        inside.run(crop)
        total += inside[name].reshape(-1, tensor.shape[-1]).mean(axis=0, dtype=np.float64)
    mean = total / len(pixels)
    return (mean - tensor.zero_point) * tensor.scale if tensor.scale else mean
