"""What the device path costs, stage by stage: the work of ``edge-sdk bench``."""

from edge_sdk.diagnostics.bench.measure import Benchmark, DevicePath, Stage, measure
from edge_sdk.diagnostics.bench.references import BenchReferences

__all__ = ["BenchReferences", "Benchmark", "DevicePath", "Stage", "measure"]
