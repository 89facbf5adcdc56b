"""Windows of convolutions and pools: strides, dilations and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from converters.sources.onnx_lowering.call import Call

Pads = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Windows:
    """Positions of a window on the spatial axes.

    Args:
        sides: Sides of the image.
        kernel: Sides of the window.
        strides: Steps of the window.
        dilations: Distances of the values in the window.
        pads: Values added before and after each axis.
        extra: Values beyond ``pads`` that a rounded-up output size needs after each axis.
    """

    sides: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: Pads
    extra: tuple[int, ...]

    @classmethod
    def of(cls, call: Call, sides: Sequence[int], kernel: Sequence[int]) -> Windows:
        """Read the attributes of an operator."""
        count = len(sides)
        strides = tuple(call.get("strides", [1] * count))
        dilations = tuple(call.get("dilations", [1] * count))
        flat = call.get("pads", [0] * 2 * count)
        pads = tuple(zip(flat[:count], flat[count:], strict=True))
        mode = call.get("auto_pad", "NOTSET")
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            same = _same(sides, spans, strides)
            pads = same if mode == "SAME_UPPER" else tuple((after, before) for before, after in same)
        elif mode == "VALID":
            pads = ((0, 0),) * count
        extra = [0] * count
        if call.get("ceil_mode", 0):
            for i, (side, span, step, (before, after)) in enumerate(
                zip(sides, spans, strides, pads, strict=True)
            ):
                outputs = -(-(side + before + after - span) // step) + 1
                if (outputs - 1) * step >= side + before:
                    outputs -= 1  # a window must begin inside the image
                extra[i] = max((outputs - 1) * step + span - side - before - after, 0)
        return cls(tuple(sides), tuple(kernel), strides, dilations, pads, tuple(extra))

    def as_planes(self) -> Windows:
        """Return the windows of an image with a height of 1."""
        return replace(
            self,
            sides=(1, *self.sides),
            kernel=(1, *self.kernel),
            strides=(1, *self.strides),
            dilations=(1, *self.dilations),
            pads=((0, 0), *self.pads),
            extra=(0, *self.extra),
        )

    @property
    def all_pads(self) -> Pads:
        """Padding with the values that a rounded-up output needs."""
        return tuple((a, b + more) for (a, b), more in zip(self.pads, self.extra, strict=True))

    @property
    def spans(self) -> list[int]:
        """Sides of the window with its dilation."""
        return [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]

    @property
    def is_same(self) -> bool:
        """True if the padding is that of TensorFlow's SAME."""
        return self.all_pads == _same(self.sides, self.spans, self.strides)

    @property
    def is_padded(self) -> bool:
        """True if any value is added."""
        return any(side for pair in self.all_pads for side in pair)

    def padded(self, tf: Any, data: Any, value: float, *, same: bool = True) -> tuple[Any, str]:
        """Return the data (N, spatial axes, C), padded if needed, and TensorFlow's name of the remaining padding.

        Args:
            tf: TensorFlow.
            data: The image.
            value: Value of the padding.
            same: True if the operator can pad by TensorFlow's SAME.
        """
        if not self.is_padded:
            return data, "VALID"
        if same and self.is_same:
            return data, "SAME"
        pads = [(0, 0), *self.all_pads, (0, 0)]
        return tf.pad(data, pads, constant_values=value), "VALID"


def _same(sides: Sequence[int], spans: Sequence[int], strides: Sequence[int]) -> Pads:
    pads = []
    for side, span, step in zip(sides, spans, strides, strict=True):
        total = max((-(-side // step) - 1) * step + span - side, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def as_planes(tf: Any, data: Any) -> Any:
    """Turn (N, L, C) into (N, 1, L, C)."""
    return tf.reshape(data, [int(data.shape[0]), 1, *map(int, data.shape[1:])])


def from_planes(tf: Any, data: Any) -> Any:
    """Turn (N, 1, L, C) into (N, L, C)."""
    return tf.reshape(data, [int(data.shape[0]), *map(int, data.shape[2:])])
