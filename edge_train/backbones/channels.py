"""Channels of a network: the layers that share them, their cost, and the same network with other numbers of channels.

The functions read the graph of any functional Keras model, so they need no support from a backbone. A group is a set of layers
whose number of channels must be equal, such as all layers that write into one residual stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from edge_train.errors import PlanError

_KEEP = (
    layers.BatchNormalization,
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.PReLU,
    layers.DepthwiseConv2D,
    layers.Dropout,
    layers.ZeroPadding2D,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
)
_JOIN = (layers.Add, layers.Multiply)


@dataclass(frozen=True)
class Group:
    """Layers with the same channels.

    Args:
        name: ``conv`` and the number of the group's first convolution in the network.
        channels: Number of channels.
        writers: Names of the convolutions that compute these channels.
        gates: For each writer with batch normalization, the name of the last one that scales its channels alone.
    """

    name: str
    channels: int
    writers: tuple[str, ...]
    gates: tuple[str, ...]


@dataclass(frozen=True)
class LayerWork:
    """Work of a layer with weights, as a function of the channels of its groups.

    Args:
        layer: Name of the layer.
        kind: ``convolution``, ``pointwise`` (1x1), ``depthwise``.
        positions: Number of output positions.
        taps: Weights for one pair of channels, or one channel of a depthwise layer.
        inputs: Group of the input channels; None if they are fixed.
        outputs: Group of the output channels; None if they are fixed.
        fixed_inputs: Number of input channels if they are fixed.
        fixed_outputs: Number of output channels if they are fixed.
    """

    layer: str
    kind: str
    positions: int
    taps: int
    inputs: str | None
    outputs: str | None
    fixed_inputs: int
    fixed_outputs: int


@dataclass(frozen=True)
class Structure:
    """Groups of a network that can change, in the order of their first convolutions, and its layers with weights."""

    groups: tuple[Group, ...]
    work: tuple[LayerWork, ...]

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of each group."""
        return {group.name: group.channels for group in self.groups}


def structure(model: keras.Model) -> Structure:
    """Find the groups of a functional model.

    The channels of the input and of the embedding are fixed, and so are those that reach a layer of another kind than
    convolution, dense layer, normalization, activation, pooling, sum or product. Work is counted for convolutions, depthwise
    convolutions and dense layers.

    Raises:
        PlanError: The model is not functional, or a layer is used more than once.
    """
    graph = _Graph(model)
    return Structure(graph.groups(), graph.work())


def resized(model: keras.Model, channels: Mapping[str, int], *, seed: int = 0) -> keras.Model:
    """Build an untrained network of the same structure with other numbers of channels.

    Args:
        model: A functional model.
        channels: New number of channels of some groups, each at least 1.
        seed: Seed of the weights whose initializer has none.

    Raises:
        PlanError: The network has no such group, a number is below 1, or the model is not functional.
    """
    known = {group.name: group for group in structure(model).groups}
    filters: dict[str, int] = {}
    for name, count in channels.items():
        if name not in known:
            raise PlanError(
                f"channels: expected groups of the network, {', '.join(known)}; found {name!r}",
                hint="edge_train.backbones.channels.structure lists the groups and their layers",
            )
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise PlanError(f"channels of {name}: expected a whole number of at least 1, found {count!r}")
        filters |= dict.fromkeys(known[name].writers, count)

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name in filters:
            config["filters" if isinstance(layer, layers.Conv2D) else "units"] = filters[layer.name]
        return type(layer).from_config(config)

    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(model, clone_function=copy)


class _Graph:
    """The layers of a functional model with their inputs, and the group of each output."""

    def __init__(self, model: keras.Model) -> None:
        if not hasattr(model, "operations"):
            raise PlanError(
                f"expected a functional Keras model, found {type(model).__name__}",
                hint="keras.Model(model.inputs, model.outputs) makes one of a sequential model",
            )
        self._layers = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
        self._parents: dict[str, list[str]] = {}
        self._children: dict[str, list[str]] = {layer.name: [] for layer in model.layers}
        self._by_name = {layer.name: layer for layer in model.layers}
        for layer in self._layers:
            if len(layer._inbound_nodes) != 1:
                raise PlanError(f"expected each layer to be used once, found {layer.name} used more often")
            history = [tensor._keras_history.operation.name for tensor in _tensors(layer.input)]
            self._parents[layer.name] = history
            for parent in history:
                self._children[parent].append(layer.name)
        self._root: dict[str, str] = {layer.name: layer.name for layer in model.layers}
        self._fixed = {layer.name for layer in model.layers if isinstance(layer, layers.InputLayer)}
        for layer in self._layers:
            self._join(layer)
        self._fixed |= {tensor._keras_history.operation.name for tensor in model.outputs}
        self._fixed = {self._find(name) for name in self._fixed}

    def _find(self, name: str) -> str:
        while self._root[name] != name:
            name = self._root[name]
        return name

    def _join(self, layer: keras.layers.Layer) -> None:
        name, parents = layer.name, self._parents[layer.name]
        flat = isinstance(layer, layers.Flatten) and layer.output.shape[-1] == layer.input.shape[-1]
        if flat or (isinstance(layer, _KEEP) and getattr(layer, "depth_multiplier", 1) == 1):
            self._root[self._find(name)] = self._find(parents[0])
        elif isinstance(layer, _JOIN):
            for parent in parents:
                self._root[self._find(name)] = self._find(parent)
            if len({tensor.shape[-1] for tensor in layer.input}) > 1:
                self._fixed.add(name)
        elif not _creates(layer):
            self._fixed |= {name, *parents}

    def groups(self) -> tuple[Group, ...]:
        members: dict[str, list[str]] = {}
        for layer in self._layers:
            if _creates(layer) and self._find(layer.name) not in self._fixed:
                members.setdefault(self._find(layer.name), []).append(layer.name)
        names = self._names()
        return tuple(
            Group(
                names[root],
                int(self._by_name[writers[0]].output.shape[-1]),
                tuple(writers),
                tuple(gate for gate in map(self._gate, writers) if gate),
            )
            for root, writers in members.items()
        )

    def _names(self) -> dict[str, str]:
        """Return the name of each group that can change, by its root."""
        names: dict[str, str] = {}
        for number, layer in enumerate(filter(_creates, self._layers), start=1):
            if (root := self._find(layer.name)) not in self._fixed:
                names.setdefault(root, f"conv{number}")
        return names

    def _gate(self, writer: str) -> str:
        """Return the last batch normalization after a writer before its channels are read twice, joined or multiplied."""
        gate, name = "", writer
        while len(self._children[name]) == 1:
            name = self._children[name][0]
            layer = self._by_name[name]
            if isinstance(layer, _JOIN) or _creates(layer):
                break
            if isinstance(layer, layers.BatchNormalization):
                gate = name
        return gate

    def work(self) -> tuple[LayerWork, ...]:
        names = self._names()
        result = []
        for layer in self._layers:
            depthwise = isinstance(layer, layers.DepthwiseConv2D)
            if not depthwise and not _creates(layer):
                continue
            shape = layer.output.shape
            kernel = getattr(layer, "kernel_size", (1, 1))
            kind = "depthwise" if depthwise else "pointwise" if kernel == (1, 1) else "convolution"
            result.append(
                LayerWork(
                    layer.name,
                    kind,
                    positions=int(shape[1] * shape[2]) if len(shape) == 4 else 1,
                    taps=int(kernel[0] * kernel[1]),
                    inputs=names.get(self._find(self._parents[layer.name][0])),
                    outputs=names.get(self._find(layer.name)),
                    fixed_inputs=int(layer.input.shape[-1]),
                    fixed_outputs=int(shape[-1]),
                )
            )
        return tuple(result)


def _creates(layer: keras.layers.Layer) -> bool:
    """Return True for a layer that computes new channels from all channels of its input."""
    dense = isinstance(layer, layers.Dense)
    plain = isinstance(layer, layers.Conv2D) and not isinstance(layer, layers.DepthwiseConv2D)
    return dense or (plain and layer.groups == 1)


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
