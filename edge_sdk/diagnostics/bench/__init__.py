"""Time and memory of each stage of the device path, as measured by ``edge-sdk bench``."""

from edge_sdk.diagnostics.bench.measure import Benchmark, DevicePath, Stage, measure
from edge_sdk.diagnostics.bench.references import BenchReferences

__all__ = ["BenchReferences", "Benchmark", "DevicePath", "Stage", "measure"]
