"""Islands with 16-bit activations improve full int8, run in every runtime with such kernels, and are replayed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from converters.data.embedding import embed_crops
from converters.errors import ConversionError
from converters.graph.network import Network
from converters.quantize.budget import BudgetVerdict, Candidate
from converters.quantize.int8 import build_float_reference, quantize_int8, replay_int8
from converters.quantize.int16_islands import candidates
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.search import search
from converters.quantize.statistics import channel_statistics
from converters.sources.float_model import FloatModel
from converters.targets import targets
from converters.targets.microcontroller import interpreter
from edge_sdk.matching import cosine
from edge_sdk.runtime.backends.litert import LiteRtBackend
from tests.networks import CONTRACT, NetworkBuilder, crops
from tests.unit.converters.quantize.test_budget import calibration
from tests.unit.converters.quantize.test_int8_quality import depthwise, uneven

ETHOS_U = shipped("ethos_u_int8")


def linear() -> Network:
    """Build a network whose narrow channels pass through a convolution, an addition, a product and another convolution."""
    net = NetworkBuilder(seed=12)
    x = net.conv(net.input, 16)
    weights = net.graph.constant(net.graph.operators[0].inputs[1]).copy()
    weights[3] *= 80
    net.graph.set_constant(net.graph.operators[0].inputs[1], weights)
    y = net.binary("MUL", net.binary("ADD", x, x), net.constant(np.full((1, 1, 1, 16), 0.5, np.float32)))
    y = depthwise(net, y, undo={3: 1 / 80})
    return net.finish(net.embedding(net.unary("RELU", net.conv(y, 24)), 16))


def islands_of(network: Network, recipe: Recipe) -> list[tuple[str, ...]]:
    reference = build_float_reference(network, recipe, channel_statistics(network, CONTRACT, crops(24)))
    return candidates(reference.network.graph, reference.statistics, recipe.int16_operators, 3)


def quantized(network: Network, recipe: Recipe) -> Any:
    pixels = crops(24)
    return quantize_int8(network, recipe, channel_statistics(network, CONTRACT, pixels), CONTRACT, pixels)


def fidelity(network: Network, integer: Network) -> float:
    images = crops(24, seed=3)
    return float(
        cosine(embed_crops(network, CONTRACT, images), embed_crops(integer, CONTRACT, images)).mean()
    )


@pytest.mark.parametrize("build", [uneven, linear])
def test_an_island_improves_int8_and_its_replay_is_the_same(build: Any) -> None:
    network = build()
    recipe = replace(ETHOS_U, bias_correction=True)
    plain = fidelity(network, quantized(network, recipe).network)
    recipe = replace(recipe, int16=islands_of(network, recipe)[0])
    result = quantized(network, recipe)
    assert 1 - fidelity(network, result.network) < 0.3 * (1 - plain)
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert replay_int8(network, recipe, result.statistics).network == result.network


@pytest.mark.parametrize("build", [uneven, linear])
def test_runtimes_agree_on_an_island(build: Any) -> None:
    network = build()
    recipe = replace(ETHOS_U, int16=islands_of(network, ETHOS_U)[0])
    integer = quantized(network, recipe).network
    types = {integer.graph.dtype_name(i) for i in integer.graph.computed()}
    assert types == {"int8", "int16"}
    backend = LiteRtBackend(integer.data, kernels="reference")
    inputs = np.random.default_rng(0).integers(-128, 127, (3, *backend.input.shape[1:])).astype(np.int8)
    expected = []
    for image in inputs:
        np.copyto(backend.input_view()[0], image)
        backend.invoke()
        expected.append(backend.output_view().copy().reshape(-1))
    np.testing.assert_allclose(interpreter.run(integer, inputs).outputs.reshape(3, -1), expected, atol=1)
    for name, refused in (("microcontroller", False), ("ethos-u", False), ("edgetpu", True)):
        findings = [
            f for rule in targets()[name].file_rules for f in rule(integer.graph) if f.severity == "refused"
        ]
        assert bool(findings) is refused, name


@dataclass
class Never:
    """A budget that no recipe keeps."""

    goal: str = "nothing"
    candidates: list[Candidate] = field(default_factory=list)

    def check(self, candidate: Candidate) -> BudgetVerdict:
        return BudgetVerdict(False, float(candidate.cosines.mean()) - 1, "none")

    def to_json(self) -> dict[str, Any]:
        return {"goal": self.goal, "kind": "script"}


def test_a_search_tests_islands_for_targets_that_run_them() -> None:
    model = FloatModel(uneven(), CONTRACT, 16, {}, (), 1.0)
    result = search(model, calibration(), ETHOS_U, budget=Never())
    assert any("16-bit" in trial.what for trial in result.trials)
    assert result.recipe.int16 and result.recipe.int16_operators == ETHOS_U.int16_operators
    result = search(model, calibration(), shipped("full_int8"), budget=Never())
    assert not any("16-bit" in trial.what for trial in result.trials)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"int16": ("zebra",)}, "names the output 'zebra'"),
        ({"int16": ("mean_16",)}, "expected one of CONV_2D, .*, found"),
        ({"int16": ("conv_2d_3",), "quantizer": "ai-edge-quantizer"}, "with the quantizer 'integer' only"),
    ],
)
def test_an_island_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    network = uneven()
    mean = next(
        network.graph.name(op.outputs[0])
        for op in network.graph.operators
        if network.graph.op_name(op) == "MEAN"
    )
    if change["int16"] == ("mean_16",):
        change = {"int16": (mean,)}
    with pytest.raises(ConversionError, match=message):
        quantized(network, replace(ETHOS_U, **change))
