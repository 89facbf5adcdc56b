"""Width search after MorphNet (Gordon et al., arXiv:1711.06798): shrink by sparsity, expand to the budget, train again.

A network is trained with a penalty on the scales (gamma) of its batch normalizations. The weight of a channel's scale is the cost
that its removal saves, so that channels that cost much and contribute little approach zero. The numbers of the remaining channels,
multiplied by one factor, are the result; it is trained from scratch by the caller.

Differences from the paper: the threshold follows from the share of the cost that is to remain, so that the strength of the
penalty need not be tuned to reach it; numbers of channels are rounded to a multiple.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from converters.progress import stage
from edge_sdk.model.card import InputContract
from edge_train.backbones.blocks import MULTIPLE
from edge_train.backbones.channels import Group, LayerWork, Structure, structure
from edge_train.data.batches import Batches, prefetched
from edge_train.errors import PlanError
from edge_train.search.budget import Budget, LayerRates, bisected, ends, scaled_to
from edge_train.training.schedule import Schedule
from edge_train.training.trainer import Augment, Objective, Trainer

#: Scales below this count as removed in the penalty's cost of the other channels.
_ALIVE = 1e-2


@dataclass(frozen=True)
class WidthSearch:
    """Result of a search.

    Args:
        channels: Number of channels of each group: the argument ``channels`` of ``build_backbone``.
        shrunk: Number of channels that remained before the expansion.
        seed_channels: Number of channels of the searched network.
        threshold: Scale below which channels were removed.
        cost: Cost of the result, in the unit of the budget.
        seed_cost: Cost of the searched network.
        loss: Mean loss of the last tenth of the search's training, without the penalty.
    """

    channels: Mapping[str, int]
    shrunk: Mapping[str, int]
    seed_channels: Mapping[str, int]
    threshold: float
    cost: float
    seed_cost: float
    loss: float

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return asdict(self)


class SparseObjective:
    """An objective with a penalty on the scales of channels, weighted by the cost that each channel causes.

    Args:
        objective: The loss.
        model: The backbone.
        rates: Cost of the layers.
        strength: Factor of the penalty; the penalty is 1 at the beginning of a training with scales of 1.
    """

    def __init__(
        self, objective: Objective, model: keras.Model, rates: LayerRates, *, strength: float
    ) -> None:
        self.head_rate = objective.head_rate
        self.trainable_variables = objective.trainable_variables
        self.non_trainable_variables = objective.non_trainable_variables
        self._objective, self._rates, self._strength = objective, rates, strength
        self._structure = structure(model)
        self._gates = {group.name: _scales(model, group) for group in self._structure.groups}
        self._start = 1.0
        self._start = float(ops.convert_to_numpy(self.penalty()))

    def __call__(self, embeddings: Any, targets: Any, *, share: Any, training: bool) -> Any:
        """Return the loss plus the penalty; see ``Objective``."""
        loss = self._objective(embeddings, targets, share=share, training=training)
        return loss + self._strength * self.penalty()

    def penalty(self) -> Any:
        """Return the cost-weighted sum of scales as a share of its value at the beginning (MorphNet, equation 6).

        A layer between groups i and o costs c |i| |o|. Its penalty is c (sum of scales in i) (channels alive in o) plus the
        same with the groups exchanged.
        """
        sums, alive = {}, {}
        for group in self._structure.groups:
            scales = _importance(self._gates[group.name])
            if scales is None:
                sums[group.name], alive[group.name] = 0.0, float(group.channels)
            else:
                sums[group.name] = ops.sum(scales)
                alive[group.name] = ops.stop_gradient(ops.sum(ops.cast(scales > _ALIVE, "float32")))
        total = sum(self._layer_penalty(work, sums, alive) for work in self._structure.work)
        return total / self._start

    def _layer_penalty(self, work: LayerWork, sums: Mapping[str, Any], alive: Mapping[str, Any]) -> Any:
        outputs = 0.0 if work.outputs is None else sums[work.outputs]
        value = self._rates.value * work.positions * outputs
        if work.kind == "depthwise":
            return self._rates.pairs(work) * outputs + value
        inputs = 0.0 if work.inputs is None else sums[work.inputs]
        alive_inputs, alive_outputs = ends(work, alive)
        return self._rates.pairs(work) * (inputs * alive_outputs + alive_inputs * outputs) + value


def search_widths(
    backbone: keras.Model,
    objective: Objective,
    batches: Batches,
    contract: InputContract,
    schedule: Schedule,
    budget: Budget,
    *,
    strength: float = 4.0,
    remain: float = 0.5,
    multiple: int = MULTIPLE,
    augment: Augment | None = None,
    seed: int = 0,
) -> WidthSearch:
    """Search for numbers of channels under a budget.

    Args:
        backbone: An untrained network; it is trained in place and not needed afterwards. It should cost as much as the budget,
            or more.
        objective: The loss.
        batches: Training batches.
        contract: Normalization of the pixels.
        schedule: Steps and learning rates of the search.
        budget: Limit on the cost of the result.
        strength: Factor of the penalty, above 0.
        remain: Share of the searched network's cost that remains before the expansion, above 0 and below 1.
        multiple: Numbers of channels of the result are multiples of this.
        augment: Augmentation of the pixels.
        seed: Seed of the augmentation.

    Returns:
        The channels for ``build_backbone(..., channels=...)``; train that network from scratch.

    Raises:
        PlanError: A value out of range, or a budget that is too small.
    """
    if not 0 < strength < float("inf"):
        raise PlanError(f"strength: expected a number above 0, found {strength!r}")
    if not 0 < remain < 1:
        raise PlanError(f"remain: expected a share above 0 and below 1, found {remain!r}")
    parts = structure(backbone)
    uniform_widths(parts, budget, multiple=multiple)  # an impossible budget is refused before the training
    sparse = SparseObjective(objective, backbone, budget.rates, strength=strength)
    trainer = Trainer(backbone, sparse, contract, schedule, augment=augment, seed=seed)
    losses = []
    with stage("search widths") as progress:
        progress(0, schedule.steps)
        for pixels, targets in prefetched(batches, 0, schedule.steps):
            total = trainer.advance(pixels, targets)
            if trainer.step > 0.9 * schedule.steps:
                losses.append(total - strength * float(ops.convert_to_numpy(sparse.penalty())))
            progress(trainer.step, schedule.steps)
    scales = {
        group.name: _values(_importance(_scales(backbone, group)), group.channels) for group in parts.groups
    }
    threshold, shrunk = shrink(parts, scales, budget.rates, remain=remain)
    channels = scaled_to(budget, parts.work, shrunk, multiple=multiple)
    return WidthSearch(
        channels,
        shrunk,
        parts.channels,
        threshold,
        float(budget.rates.cost(parts.work, channels)),
        float(budget.rates.cost(parts.work, parts.channels)),
        float(np.mean(losses)),
    )


def uniform_widths(parts: Structure, budget: Budget, *, multiple: int = MULTIPLE) -> dict[str, int]:
    """Return the channels that a uniform width multiplier gives under the same budget, for comparison."""
    return scaled_to(budget, parts.work, parts.channels, multiple=multiple)


def shrink(
    parts: Structure, scales: Mapping[str, NDArray[np.float32]], rates: LayerRates, *, remain: float
) -> tuple[float, dict[str, int]]:
    """Remove channels whose scale is below a threshold, so that a share of the cost remains.

    Args:
        parts: Groups and layers of the network.
        scales: Absolute scale of each channel of each group.
        rates: Cost of the layers.
        remain: Share of the cost that remains at most.

    Returns:
        The threshold, and the number of remaining channels of each group, at least 1.
    """
    allowed = remain * float(rates.cost(parts.work, parts.channels))

    def kept(threshold: float) -> dict[str, int]:
        return {name: max(1, int((values >= threshold).sum())) for name, values in scales.items()}

    top = max(float(values[np.isfinite(values)].max(initial=0.0)) for values in scales.values())
    # The threshold is bisected from above, because a high threshold keeps few channels.
    margin = bisected(lambda below: rates.cost(parts.work, kept(top - below)) <= allowed, 0.0, top)
    return top - margin, kept(top - margin)


def _scales(model: keras.Model, group: Group) -> list[Any]:
    """Return the gammas of a group's gates; none if a gate has no gamma."""
    return [
        gamma for name in group.gates if (gamma := getattr(model.get_layer(name), "gamma", None)) is not None
    ]


def _importance(scales: Sequence[Any]) -> Any:
    """Return the largest absolute scale of each channel over the gates: a residual stream needs a channel if any writer uses it."""
    if not scales:
        return None
    return ops.max(ops.stack([ops.abs(ops.convert_to_tensor(gamma)) for gamma in scales]), axis=0)


def _values(importance: Any, channels: int) -> NDArray[np.float32]:
    """Return the scales as an array; channels without a scale are never removed."""
    if importance is None:
        return np.full(channels, np.inf, np.float32)
    return np.asarray(ops.convert_to_numpy(importance))
