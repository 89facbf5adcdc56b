"""Turn a trained embedding network into an int8 file for small hardware and prove what it is worth."""

from edge_sdk import _moved

_moved.install(
    {
        "converters.assessment": "converters.evaluate.runner",
        "converters.evaluation": "converters.evaluate.metrics",
        "converters.evaluation.samples": "converters.data.samples",
    }
)
