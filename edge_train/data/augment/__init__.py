"""Random changes of pictures in the compiled training step, as sets by name: ``none``, ``products``, ``faces``, ``drawings``.

The changes are TensorFlow operations keyed by the step's seed, so that a step is reproducible.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from edge_train.data.augment.ranges import SETS, Ranges
from edge_train.errors import PlanError

__all__ = ["SETS", "Augment", "Ranges", "make_augment"]

#: Changes a batch of pixels in the compiled step: (pixels float32 0..255, seed of shape (2,) int32) -> pixels.
Augment = Callable[[Any, Any], Any]
#: Largest strength.
MAX_STRENGTH = 3.0


def make_augment(name: str, *, strength: float = 1.0) -> Augment | None:
    """Make the augmentation of a set.

    Args:
        name: Name of a set (``SETS``).
        strength: Factor for the widths of all changes, 0..3; 1 is the set as it is.

    Returns:
        A function of pixels, shape (B, H, W, C), float32, 0..255, and a seed, shape (2,), int32; None if nothing changes.

    Raises:
        PlanError: The name is unknown, or the strength is out of range.
    """
    if name not in SETS:
        nearest = difflib.get_close_matches(name, SETS, 1, 0.5)
        raise PlanError(
            f"expected an augmentation of {', '.join(SETS)}, found {name!r}",
            hint=f"did you mean {nearest[0]!r}?" if nearest else "use 'none' for no augmentation",
        )
    if not 0 <= strength <= MAX_STRENGTH:
        raise PlanError(f"expected a strength of augmentation of 0..{MAX_STRENGTH:g}, found {strength:g}")
    if name == "none" or strength == 0:
        return None
    ranges = SETS[name].times(strength)

    def augment(pixels: Any, seed: Any) -> Any:
        from edge_train.data.augment.pipeline import augment_batch

        return augment_batch(pixels, seed, ranges)

    return augment
