"""Turn a trained embedding network into an int8 file for small hardware, with evidence of its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sdk import _moved

if TYPE_CHECKING:
    from converters.pipeline.convert import convert
    from converters.pipeline.options import (
        ConversionOptions,
        Distillation,
        DrawnCalibration,
        ErrorRateLimit,
        Plain,
        Replay,
        Search,
    )
    from converters.quantize.budget import CosineBudget

__all__ = [
    "ConversionOptions",
    "CosineBudget",
    "Distillation",
    "DrawnCalibration",
    "ErrorRateLimit",
    "Plain",
    "Replay",
    "Search",
    "convert",
]

_moved.install(
    {
        "converters.assessment": "converters.evaluate.runner",
        "converters.evaluation": "converters.evaluate.metrics",
        "converters.evaluation.samples": "converters.data.samples",
    }
)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, because the packages that conversion needs take seconds to load."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = {"convert": "converters.pipeline.convert", "CosineBudget": "converters.quantize.budget"}
    import importlib

    module = importlib.import_module(modules.get(name, "converters.pipeline.options"))
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
