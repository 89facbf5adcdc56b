"""A BGR network converted to RGB input gives the same output for the same image."""

from __future__ import annotations

import numpy as np

from converters.graph.network import Network
from converters.graph.rewrites.input_channels import reverse_input_channels
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests.networks import NetworkBuilder


def run(network: Network, image: np.ndarray) -> np.ndarray:
    backend = LiteRtBackend(network.data)
    np.copyto(backend.input_view(), image)
    backend.invoke()
    return backend.output_view().copy()


def test_the_output_for_rgb_equals_the_former_output_for_bgr() -> None:
    network = NetworkBuilder()
    before = network.finish(network.conv(network.input, 5))
    graph = before.edit()
    assert reverse_input_channels(graph)
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    assert np.allclose(run(before, image), run(Network.of(graph), image[..., ::-1]), atol=1e-5)


def test_an_image_that_is_read_twice_is_left_alone() -> None:
    network = NetworkBuilder()
    first, second = network.conv(network.input, 5), network.conv(network.input, 5)
    graph = network.finish(first, second, signature=False).edit()
    before = graph.to_bytes()
    assert not reverse_input_channels(graph)
    assert graph.to_bytes() == before
