"""Shares of positions add up to the network's own cosine, in float and in integers."""

from __future__ import annotations

import numpy as np
import pytest

from converters.graph.network import Network
from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.vision.decomposition import Decomposer
from tests.networks import CONTRACT, NetworkBuilder, crops
from tests.unit.converters.report.test_layers import int8


def network(*, activated: bool = False, seed: int = 0) -> Network:
    net = NetworkBuilder(seed=seed)
    x = net.prelu(net.conv(net.input, 16), np.linspace(0.05, 0.4, 16))
    y = net.embedding(x, 12)
    return net.finish(net.unary("RELU", y) if activated else y)


def test_the_shares_of_a_float_network_add_up_exactly() -> None:
    decomposer = Decomposer(network().data, CONTRACT)
    first, second = (decomposer.split(crop) for crop in crops(2))
    for shares in (first.shares(second.embedding), second.shares(first.embedding)):
        assert shares.values.shape == (8, 8)
        assert shares.cosine == pytest.approx(float(first.embedding @ second.embedding))
        assert abs(shares.remainder) < 1e-6
        assert shares.values.sum() + shares.constant + shares.remainder == pytest.approx(
            shares.cosine, abs=1e-6
        )


def test_the_shares_of_an_integer_network_add_up_within_its_rounding() -> None:
    integer = int8(network(), crops(12))
    decomposer = Decomposer(integer.data, CONTRACT)
    assert decomposer.tail.integer
    first, second = (decomposer.split(crop) for crop in crops(2))
    shares = first.shares(second.embedding)
    assert 1e-6 < abs(shares.remainder) < 0.03
    exact = Decomposer(network().data, CONTRACT)
    other = exact.split(crops(2)[0]).shares(exact.split(crops(2)[1]).embedding)
    assert np.corrcoef(other.values.ravel(), shares.values.ravel())[0, 1] > 0.99


def test_an_image_that_is_equal_in_one_half_has_equal_shares_there() -> None:
    """A position that sees the same pixels has the same part; only the norm differs."""
    decomposer = Decomposer(network().data, CONTRACT)
    first = crops(1)[0]
    second = first.copy()
    second[10:] = 0
    parts = [decomposer.split(crop).parts for crop in (first, second)]
    directions = [part / np.linalg.norm(part, axis=-1, keepdims=True) for part in parts]
    np.testing.assert_allclose(directions[0][:4], directions[1][:4], atol=1e-5)
    assert np.abs(directions[0][6:] - directions[1][6:]).max() > 0.1


def test_an_activation_after_pooling_is_refused() -> None:
    with pytest.raises(ModelContractError, match="found RELU after that map") as refusal:
        Decomposer(network(activated=True).data, CONTRACT)
    assert "occlusion" in str(refusal.value.hint)


def test_parts_that_do_not_give_the_embedding_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Saturated codes make an integer tail nonlinear; an impossible tolerance stands for any such difference."""
    monkeypatch.setattr("edge_sdk.vision.decomposition.INTEGER_TOLERANCE", -1.0)
    decomposer = Decomposer(int8(network(), crops(12)).data, CONTRACT)
    with pytest.raises(ModelContractError, match="as the sum of its parts") as refusal:
        decomposer.split(crops(1)[0])
    assert "occlusion" in str(refusal.value.hint)


def test_a_crop_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="expected a crop"):
        Decomposer(network().data, CONTRACT).split(crops(1, (20, 20, 3))[0])
