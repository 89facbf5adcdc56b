"""Names, classes and settings of all losses, and the check of settings; imports no Keras."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_train.errors import PlanError


@dataclass(frozen=True)
class Setting:
    """Type and range of a setting.

    Args:
        kind: ``float``, ``int`` or ``bool``.
        low: Smallest value.
        high: Largest value.
        above: True if ``low`` itself is not allowed.
    """

    kind: type = float
    low: float = 0.0
    high: float = math.inf
    above: bool = False

    @property
    def range(self) -> str:
        """The allowed values as text."""
        if self.kind is bool:
            return "true or false"
        word = "a whole number" if self.kind is int else "a number"
        least = f"above {self.low:g}" if self.above else f"from {self.low:g}"
        return f"{word} {least}" + ("" if math.isinf(self.high) else f" to {self.high:g}")

    def accepts(self, value: object) -> bool:
        """Return whether the value has the type and lies in the range."""
        if self.kind is bool or isinstance(value, bool):
            return self.kind is bool and isinstance(value, bool)
        if not isinstance(value, int | float) or (self.kind is int and not isinstance(value, int)):
            return False
        # No isfinite: it fails for whole numbers that no float can hold.
        high = min(self.high, sys.float_info.max)
        return self.low <= value <= high and not (self.above and value == self.low)


@dataclass(frozen=True, kw_only=True)
class LossEntry:
    """Facts about a loss that are known without building it.

    Args:
        module: Module of its class.
        class_name: Name of its class.
        takes: Facts that its class takes, of ``classes``, ``dimension`` and ``seed``.
        settings: Its settings.
        fixed: Further arguments of its class.
        needs: Smallest number of images per subject in a batch, 1 or 2.
    """

    module: str
    class_name: str
    takes: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    needs: int = 1

    @property
    def has_classes(self) -> bool:
        """True if the loss has one weight vector, or several, per class."""
        return "classes" in self.takes


_POSITIVE = Setting(above=True)
_SCALE = {"scale": _POSITIVE}
_ANGLE = Setting(high=math.pi / 2)
_DISTANCE = Setting(high=4.0, above=True)
_RADIUS = Setting(high=2.0, above=True)
_MOMENTUM = Setting(high=1.0)
_SWITCH = Setting(bool)


def _head(
    module: str, class_name: str, settings: Mapping[str, Setting] | None = None, **fixed: Any
) -> LossEntry:
    return LossEntry(
        module=f"edge_train.losses.{module}",
        class_name=class_name,
        takes=("classes", "dimension", "seed"),
        settings=settings or {},
        fixed=fixed,
        needs=2 if class_name == "DeepID2" else 1,
    )


def _pairs(module: str, class_name: str, settings: Mapping[str, Setting], *takes: str) -> LossEntry:
    return LossEntry(
        module=f"edge_train.losses.{module}", class_name=class_name, takes=takes, settings=settings, needs=2
    )


#: Every loss by name.
LOSSES: Mapping[str, LossEntry] = {
    "softmax": _head("softmax", "Softmax"),
    "l2_softmax": _head("softmax", "L2Softmax", _SCALE),
    "normface": _head("softmax", "NormFace", _SCALE),
    "sphereface": _head(
        "margins",
        "SphereFace",
        {"margin": Setting(int, 1, 6), "blend_start": Setting(), "blend_end": Setting()},
    ),
    "cosface": _head("margins", "CosFace", {**_SCALE, "margin": Setting(high=1.0)}),
    "arcface": _head("margins", "ArcFace", {**_SCALE, "margin": _ANGLE}),
    "subcentre_arcface": _head(
        "margins", "ArcFace", {**_SCALE, "margin": _ANGLE, "centres": Setting(int, 1, 10)}
    ),
    "adacos": _head("adaptive", "AdaCos", dynamic=True),
    "adacos_fixed": _head("adaptive", "AdaCos", dynamic=False),
    "adaface": _head(
        "adaptive",
        "AdaFace",
        {**_SCALE, "margin": _ANGLE, "concentration": _POSITIVE, "momentum": _MOMENTUM},
    ),
    "magface": _head(
        "adaptive",
        "MagFace",
        {
            **_SCALE,
            "margin_low": _ANGLE,
            "margin_high": _ANGLE,
            "norm_low": _POSITIVE,
            "norm_high": _POSITIVE,
            "weight": Setting(),
        },
    ),
    "curricularface": _head(
        "adaptive", "CurricularFace", {**_SCALE, "margin": _ANGLE, "momentum": _MOMENTUM}
    ),
    "contrastive": _pairs("pairs", "Contrastive", {"margin": _RADIUS, "squared": _SWITCH}),
    "triplet": _pairs("triplets", "Triplet", {"margin": _DISTANCE, "squared": _SWITCH}),
    "batch_hard": _pairs("triplets", "BatchHard", {"margin": _DISTANCE, "soft": _SWITCH, "squared": _SWITCH}),
    "quadruplet": _pairs(
        "triplets",
        "Quadruplet",
        {"margin": _DISTANCE, "margin_others": Setting(high=4.0), "squared": _SWITCH},
    ),
    "margin": _pairs("pairs", "MarginLoss", {"margin": _RADIUS, "boundary": Setting(high=2.0)}, "dimension"),
    "circle": _pairs("pairs", "Circle", {**_SCALE, "margin": Setting(high=1.0)}),
    "multi_similarity": _pairs(
        "pairs",
        "MultiSimilarity",
        {
            "mated_scale": _POSITIVE,
            "non_mated_scale": _POSITIVE,
            "base": Setting(low=-1.0, high=1.0),
            "mining": Setting(high=4.0),
        },
    ),
    "proxy_anchor": _head(
        "joined", "ProxyAnchor", {**_SCALE, "margin": Setting(high=1.0), "head_rate": _POSITIVE}
    ),
    "supcon": _pairs("pairs", "SupCon", {"temperature": Setting(low=0.01, high=10.0)}),
    "deepid2": _head("joined", "DeepID2", {"weight": Setting(), "margin": _RADIUS}),
}


def check_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Check the name of a loss and settings for it.

    Raises:
        PlanError: An unknown name or setting, or a value out of range.
    """
    if name not in LOSSES:
        raise PlanError(
            f"loss: expected {', '.join(LOSSES)}, found {name!r}", hint="set loss to a name of the list"
        )
    known = LOSSES[name].settings
    for key, value in settings.items():
        if key not in known:
            raise PlanError(
                f"setting of loss {name}: expected {', '.join(known) or 'none'}, found {key!r}",
                hint=f"remove {key}; {name} " + ("has no such setting" if known else "has no settings"),
            )
        if not known[key].accepts(value):
            raise PlanError(
                f"{key} of loss {name}: expected {known[key].range}, found {value!r}",
                hint=f"change {key}, or leave it out to take the default for this number of subjects and steps",
            )
    low, high = settings.get("norm_low"), settings.get("norm_high")
    if low is not None and high is not None and low >= high:
        raise PlanError(
            f"norm_low of loss {name}: expected less than norm_high, {high:g}, found {low:g}",
            hint="set norm_high above norm_low",
        )
    low, high = settings.get("margin_low"), settings.get("margin_high")
    if low is not None and high is not None and low > high:
        raise PlanError(
            f"margin_low of loss {name}: expected at most margin_high, {high:g}, found {low:g}",
            hint="set margin_high to margin_low or more",
        )
