"""Turn a trained embedding network into an int8 file for small hardware, with evidence of its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sdk import _moved

if TYPE_CHECKING:
    from converters.pipeline.convert import convert as convert
    from converters.pipeline.options import ConversionOptions as ConversionOptions

_PUBLIC = {
    "convert": "converters.pipeline.convert",
    "ConversionOptions": "converters.pipeline.options",
}

_moved.install(
    {
        "converters.assessment": "converters.evaluate.runner",
        "converters.evaluation": "converters.evaluate.metrics",
        "converters.evaluation.samples": "converters.data.samples",
    }
)


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: converting needs packages that take seconds to load."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value
