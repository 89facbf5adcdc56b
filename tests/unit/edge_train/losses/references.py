"""Losses written out as loops in float64, from the formulas of the papers; the tests compare values and gradients with them.

A reference takes embeddings of shape (B, D), labels, the head's weights, the settings, and ``fixed``: the embeddings from which
it computes everything that has no gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Settings = Mapping[str, Any]


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _cross_entropy(logits: Array, labels: Sequence[int]) -> float:
    costs = [math.log(np.exp(row - row[label]).sum()) for row, label in zip(logits, labels, strict=True)]
    return float(np.mean(costs))


def _cosines(x: Array, centres: Array) -> Array:
    return _unit(x) @ _unit(centres.T).T


def _arc(cosine: float, margin: float) -> float:
    angle = math.acos(cosine)
    if angle + margin > math.pi:
        return cosine - margin * math.sin(margin)
    return math.cos(max(0.0, angle + margin))


def softmax(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    centres, bias = weights
    return _cross_entropy(x @ centres + bias, labels)


def l2_softmax(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    centres, bias = weights
    return _cross_entropy(settings["scale"] * _unit(x) @ centres + bias, labels)


def normface(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    return _cross_entropy(settings["scale"] * _cosines(x, weights[0]), labels)


def sphereface(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    logits = _cosines(x, weights[0])
    m, blend = settings["margin"], settings["blend_end"]
    for i, label in enumerate(labels):
        angle = math.acos(logits[i, label])
        k = math.floor(m * angle / math.pi)
        psi = (-1) ** k * math.cos(m * angle) - 2 * k
        logits[i, label] = (blend * logits[i, label] + psi) / (1 + blend)
    return _cross_entropy(np.linalg.norm(x, axis=1, keepdims=True) * logits, labels)


def cosface(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    logits = _cosines(x, weights[0])
    for i, label in enumerate(labels):
        logits[i, label] -= settings["margin"]
    return _cross_entropy(settings["scale"] * logits, labels)


def arcface(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    logits = _cosines(x, weights[0])
    for i, label in enumerate(labels):
        logits[i, label] = _arc(logits[i, label], settings["margin"])
    return _cross_entropy(settings["scale"] * logits, labels)


def subcentre_arcface(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    every = _cosines(x, weights[0])
    per = settings["centres"]
    logits = np.array([[max(row[j : j + per]) for j in range(0, len(row), per)] for row in every])
    for i, label in enumerate(labels):
        logits[i, label] = _arc(logits[i, label], settings["margin"])
    return _cross_entropy(settings["scale"] * logits, labels)


def adacos_fixed(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    scale = math.sqrt(2) * math.log(weights[0].shape[1] - 1)
    return _cross_entropy(scale * _cosines(x, weights[0]), labels)


def adacos(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    """Return the loss of the first training step; ``settings`` holds the centres that give the new scale."""
    frozen = _cosines(fixed, settings["centres"])
    first = math.sqrt(2) * math.log(frozen.shape[1] - 1)
    total = [
        sum(math.exp(first * cosine) for j, cosine in enumerate(row) if j != label)
        for row, label in zip(frozen, labels, strict=True)
    ]
    angle = np.median([math.acos(frozen[i, label]) for i, label in enumerate(labels)])
    scale = math.log(float(np.mean(total))) / math.cos(min(math.pi / 4, float(angle)))
    return _cross_entropy(scale * _cosines(x, weights[0]), labels)


def adaface(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    """Return the loss of the first training step, whose batch sets mean and deviation."""
    norms = np.linalg.norm(fixed, axis=1)
    z = np.clip(settings["concentration"] * (norms - norms.mean()) / (norms.std() + 1e-3), -1, 1)
    logits, m = _cosines(x, weights[0]), settings["margin"]
    for i, label in enumerate(labels):
        logits[i, label] = _arc(logits[i, label], -m * z[i]) - m * (1 + z[i])
    return _cross_entropy(settings["scale"] * logits, labels)


def magface(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    logits = _cosines(x, weights[0])
    low, high = settings["norm_low"], settings["norm_high"]
    lengths = [min(max(math.hypot(*row), low), high) for row in x]
    for i, label in enumerate(labels):
        part = (lengths[i] - low) / (high - low)
        margin = settings["margin_low"] + part * (settings["margin_high"] - settings["margin_low"])
        logits[i, label] = _arc(logits[i, label], margin)
    longer = np.mean([1 / a + a / high**2 for a in lengths])
    return _cross_entropy(settings["scale"] * logits, labels) + settings["weight"] * float(longer)


def curricularface(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    """Return the loss of the first training step; ``settings`` holds the centres that give t."""
    frozen = _cosines(fixed, settings["centres"])
    t = (1 - settings["momentum"]) * np.mean([frozen[i, label] for i, label in enumerate(labels)])
    logits = _cosines(x, weights[0])
    for i, label in enumerate(labels):
        own = _arc(logits[i, label], settings["margin"])
        for j in range(logits.shape[1]):
            if j != label and logits[i, j] > own:
                logits[i, j] *= t + logits[i, j]
        logits[i, label] = own
    return _cross_entropy(settings["scale"] * logits, labels)


def _pairs(x: Array, labels: Sequence[int]) -> tuple[Array, list[tuple[int, int]], list[tuple[int, int]]]:
    u = _unit(x)
    apart = np.linalg.norm(u[:, None] - u[None], axis=2)
    every = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    mated = [(i, j) for i, j in every if labels[i] == labels[j]]
    return apart, mated, [(i, j) for i, j in every if labels[i] != labels[j]]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def contrastive(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    apart, mated, non_mated = _pairs(x, labels)
    close = [settings["margin"] - apart[pair] for pair in non_mated if apart[pair] < settings["margin"]]
    if settings["squared"]:
        return _mean([apart[pair] ** 2 / 2 for pair in mated]) + _mean([v**2 / 2 for v in close])
    return _mean([apart[pair] for pair in mated]) + _mean(close)


def triplet(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    apart, mated, non_mated = _pairs(x, labels)
    apart = apart**2 if settings["squared"] else apart
    costs = [
        apart[a, p] - apart[a, n] + settings["margin"]
        for a, p in mated
        for b, n in non_mated
        if a == b and apart[a, p] < apart[a, n] < apart[a, p] + settings["margin"]
    ]
    return _mean(costs)


def batch_hard(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    apart, mated, non_mated = _pairs(x, labels)
    apart = apart**2 if settings["squared"] else apart
    costs = []
    for a in range(len(x)):
        own = max(apart[i, j] for i, j in mated if i == a)
        other = min(apart[i, j] for i, j in non_mated if i == a)
        soft = math.log1p(math.exp(own - other))
        costs.append(soft if settings["soft"] else max(0.0, own - other + settings["margin"]))
    return _mean(costs)


def quadruplet(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    apart, mated, non_mated = _pairs(x, labels)
    apart = apart**2 if settings["squared"] else apart
    costs = []
    for a, p in mated:
        for n in [j for i, j in non_mated if i == a]:
            rest = min(apart[n, q] for q in range(len(x)) if labels[q] not in (labels[a], labels[n]))
            costs.append(apart[a, p] - rest + settings["margin_others"])
    return triplet(x, labels, weights, settings, fixed) + _mean([cost for cost in costs if cost > 0])


def margin(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    apart, mated, non_mated = _pairs(x, labels)
    frozen, _, _ = _pairs(fixed, labels)
    boundary, m, dimension = float(weights[0]), settings["margin"], x.shape[1]

    def density(distance: float) -> float:
        d = max(0.5, distance)
        return float(d ** (dimension - 2) * (1 - d**2 / 4) ** ((dimension - 3) / 2))

    total = count = 0.0
    for a, p in mated:
        cost = max(0.0, apart[a, p] - boundary + m)
        total, count = total + cost, count + (cost > 0)
        drawn = {n: 1 / density(frozen[a, n]) for b, n in non_mated if b == a and frozen[a, n] < 1.4}
        for n, weight in drawn.items():
            share = weight / sum(drawn.values())
            cost = max(0.0, boundary + m - apart[a, n])
            total, count = total + share * cost, count + share * (cost > 0)
    return total / max(count, 1.0)


def circle(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    _, mated, non_mated = _pairs(x, labels)
    cosines, frozen = _unit(x) @ _unit(x).T, _unit(fixed) @ _unit(fixed).T
    g, m = settings["scale"], settings["margin"]
    costs = []
    for a in range(len(x)):
        apart = sum(
            math.exp(g * max(0.0, frozen[i, j] + m) * (cosines[i, j] - m)) for i, j in non_mated if i == a
        )
        together = sum(
            math.exp(-g * max(0.0, 1 + m - frozen[i, j]) * (cosines[i, j] - 1 + m))
            for i, j in mated
            if i == a
        )
        costs.append(math.log1p(apart * together))
    return _mean(costs)


def multi_similarity(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    _, mated, non_mated = _pairs(x, labels)
    s = _unit(x) @ _unit(x).T
    a, b, base, e = (settings[key] for key in ("mated_scale", "non_mated_scale", "base", "mining"))
    costs = []
    for anchor in range(len(x)):
        p = [s[i, j] for i, j in mated if i == anchor]
        n = [s[i, j] for i, j in non_mated if i == anchor]
        kept_p, kept_n = [v for v in p if v < max(n) + e], [v for v in n if v > min(p) - e]
        costs.append(
            math.log1p(sum(math.exp(-a * (v - base)) for v in kept_p)) / a
            + math.log1p(sum(math.exp(b * (v - base)) for v in kept_n)) / b
        )
    return _mean(costs)


def proxy_anchor(
    x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array
) -> float:
    cosines = _cosines(x, weights[0])
    s, m = settings["scale"], settings["margin"]
    together, apart = [], []
    for proxy in range(cosines.shape[1]):
        own = [cosines[i, proxy] for i, label in enumerate(labels) if label == proxy]
        other = [cosines[i, proxy] for i, label in enumerate(labels) if label != proxy]
        if own:
            together.append(math.log1p(sum(math.exp(-s * (c - m)) for c in own)))
        apart.append(math.log1p(sum(math.exp(s * (c + m)) for c in other)))
    return _mean(together) + _mean(apart)


def supcon(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    _, mated, _ = _pairs(x, labels)
    logits = _unit(x) @ _unit(x).T / settings["temperature"]
    costs = []
    for a in range(len(x)):
        total = sum(math.exp(logits[a, j]) for j in range(len(x)) if j != a)
        costs.append(_mean([-math.log(math.exp(logits[i, j]) / total) for i, j in mated if i == a]))
    return _mean(costs)


def deepid2(x: Array, labels: Sequence[int], weights: list[Array], settings: Settings, fixed: Array) -> float:
    pairs = contrastive(x, labels, [], {"margin": settings["margin"], "squared": True}, fixed)
    return softmax(x, labels, weights, {}, fixed) + settings["weight"] * pairs


Reference = Callable[[Array, Sequence[int], list[Array], Settings, Array], float]

#: Name of a loss, its reference, and settings at which every branch of it is used.
REFERENCES: dict[str, tuple[Reference, Settings]] = {
    "softmax": (softmax, {}),
    "l2_softmax": (l2_softmax, {"scale": 9.0}),
    "normface": (normface, {"scale": 9.0}),
    "sphereface": (sphereface, {"margin": 4, "blend_start": 1000.0, "blend_end": 0.5}),
    "cosface": (cosface, {"scale": 9.0, "margin": 0.3}),
    "arcface": (arcface, {"scale": 9.0, "margin": 0.6}),
    "subcentre_arcface": (subcentre_arcface, {"scale": 9.0, "margin": 0.4, "centres": 2}),
    "adacos": (adacos, {}),
    "adacos_fixed": (adacos_fixed, {}),
    "adaface": (adaface, {"scale": 9.0, "margin": 0.4, "concentration": 0.7, "momentum": 0.9}),
    "magface": (
        magface,
        {
            "scale": 9.0,
            "margin_low": 0.2,
            "margin_high": 0.7,
            "norm_low": 1.5,
            "norm_high": 3.5,
            "weight": 2.0,
        },
    ),
    "curricularface": (curricularface, {"scale": 9.0, "margin": 0.4, "momentum": 0.5}),
    "contrastive": (contrastive, {"margin": 1.3, "squared": True}),
    "triplet": (triplet, {"margin": 0.5, "squared": True}),
    "batch_hard": (batch_hard, {"margin": 0.3, "soft": False, "squared": False}),
    "quadruplet": (quadruplet, {"margin": 0.4, "margin_others": 0.2, "squared": True}),
    "margin": (margin, {"margin": 0.2, "boundary": 1.1}),
    "circle": (circle, {"scale": 8.0, "margin": 0.25}),
    "multi_similarity": (
        multi_similarity,
        {"mated_scale": 2.0, "non_mated_scale": 10.0, "base": 0.4, "mining": 0.1},
    ),
    "proxy_anchor": (proxy_anchor, {"scale": 8.0, "margin": 0.1, "head_rate": 10.0}),
    "supcon": (supcon, {"temperature": 0.3}),
    "deepid2": (deepid2, {"weight": 0.7, "margin": 1.3}),
}
