"""Settings of losses from the number of classes and of steps; the rules are stated in docs/explanation/training.md."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

#: AdaCos' scale is at least this: its formula gives 0 for 2 classes.
LEAST_ADACOS_SCALE = 2.0
#: The paper's loss weights and scales of MagFace: weight 35 at scale 64, norms 10..110 at 512 dimensions.
_MAGFACE_WEIGHT, _MAGFACE_SCALE, _MAGFACE_NORMS, _MAGFACE_DIMENSION = 35.0, 64.0, (10.0, 110.0), 512


def adacos_scale(classes: int) -> float:
    """Return sqrt(2) ln(classes - 1), AdaCos' fixed scale (arXiv:1905.00292); 0 for 2 classes.

    Args:
        classes: Number of classes, at least 2.
    """
    return math.sqrt(2) * math.log(classes - 1)


def least_cosine_scale(classes: int, probability: float = 0.9) -> float:
    """Return the scale below which no own class can reach a probability (NormFace, arXiv:1704.06369; CosFace, arXiv:1801.09414).

    The formula is (C - 1) / C ln((C - 1) P / (1 - P)), for centres that are spread as far as possible.

    Args:
        classes: C, at least 2.
        probability: P, above 0, below 1.
    """
    return (classes - 1) / classes * math.log((classes - 1) * probability / (1 - probability))


def least_l2_softmax_scale(classes: int, probability: float = 0.9) -> float:
    """Return ln(p (C - 2) / (1 - p)), the least scale of L2-softmax (arXiv:1703.09507).

    Args:
        classes: C, at least 3.
        probability: p, above 0, below 1.
    """
    return math.log(probability * (classes - 2) / (1 - probability))


def scale(classes: int, steps: int) -> float:
    """Return the scale of heads on cosines: AdaCos' fixed scale up to 300 steps, twice as much from 900 steps, 4..64.

    A high scale gives most of the gradient to the hardest classes, which a network cannot separate at first. 161 classes get 7.2
    with 300 steps and 14.4 with 900; 85,742 classes get 32.1 with 900.

    Args:
        classes: Number of classes, at least 2.
        steps: Number of steps.
    """
    return min(64.0, max(4.0, (1 + _long(steps)) * adacos_scale(classes)))


def _long(steps: int) -> float:
    """Return 0 up to 300 steps, 1 from 900 steps, and a linear rise in between."""
    return (min(max(steps, 300), 900) - 300) / 600


def margin(steps: int, full: float) -> float:
    """Return a margin for a number of steps: a third of the full margin up to 300 steps, all of it from 900 steps.

    A margin makes the task harder; within a short training the network does not solve the harder task.

    Args:
        steps: Number of steps.
        full: The margin of a long training.
    """
    return full * (1 + 2 * _long(steps)) / 3


def defaults(name: str, *, classes: int, dimension: int, steps: int) -> dict[str, Any]:
    """Return the settings of a loss.

    Args:
        name: One of ``edge_train.losses.LOSSES``.
        classes: Number of classes, at least 2.
        dimension: Length of the embedding.
        steps: Number of training steps.
    """
    rule = _RULES.get(name)
    return {} if rule is None else rule(classes, dimension, steps)


def _magface(classes: int, dimension: int, steps: int) -> dict[str, Any]:
    # Norms grow with the root of the dimension: the embedding layer ends with a batch normalization.
    low, high = (norm * math.sqrt(dimension / _MAGFACE_DIMENSION) for norm in _MAGFACE_NORMS)
    own = scale(classes, steps)
    weight = _MAGFACE_WEIGHT * own / _MAGFACE_SCALE * math.sqrt(dimension / _MAGFACE_DIMENSION)
    return {
        "scale": own,
        "margin_low": margin(steps, 0.2),
        "margin_high": margin(steps, 0.5),
        "norm_low": low,
        "norm_high": high,
        "weight": weight,
    }


_RULES: dict[str, Callable[[int, int, int], dict[str, Any]]] = {
    "l2_softmax": lambda classes, dimension, steps: {"scale": scale(classes, steps)},
    "normface": lambda classes, dimension, steps: {"scale": scale(classes, steps)},
    "sphereface": lambda classes, dimension, steps: {
        "margin": 4,
        "blend_start": 1000.0,
        "blend_end": 5.0,
    },
    "cosface": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": margin(steps, 0.2),
    },
    "arcface": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": margin(steps, 0.3),
    },
    "subcentre_arcface": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": margin(steps, 0.3),
        "centres": 3,
    },
    "adaface": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": margin(steps, 0.2),
        "concentration": 0.333,
        "momentum": 0.95,
    },
    "magface": _magface,
    "curricularface": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": margin(steps, 0.3),
        "momentum": 0.99,
    },
    "contrastive": lambda classes, dimension, steps: {"margin": 1.0, "squared": True},
    "triplet": lambda classes, dimension, steps: {"margin": 0.2, "squared": False},
    "batch_hard": lambda classes, dimension, steps: {"margin": 0.2, "soft": False, "squared": False},
    "quadruplet": lambda classes, dimension, steps: {"margin": 0.2, "margin_others": 0.1, "squared": False},
    "margin": lambda classes, dimension, steps: {"margin": 0.2, "boundary": 1.2},
    "circle": lambda classes, dimension, steps: {"scale": 4 * (1 + _long(steps)), "margin": 0.25},
    "multi_similarity": lambda classes, dimension, steps: {
        "mated_scale": 2.0,
        "non_mated_scale": 10 * (1 + _long(steps)),
        "base": 0.5,
        "mining": 0.1,
    },
    "proxy_anchor": lambda classes, dimension, steps: {
        "scale": scale(classes, steps),
        "margin": 0.1,
        "head_rate": 3.0,
    },
    "supcon": lambda classes, dimension, steps: {"temperature": 0.1},
    "deepid2": lambda classes, dimension, steps: {"weight": 1.0, "margin": 1.0},
}
