"""What the device path costs, stage by stage: the work of ``edge-sdk bench``."""

from edge_sdk.bench.measure import Benchmark, DevicePath, Stage, measure
from edge_sdk.bench.references import References

__all__ = ["Benchmark", "DevicePath", "References", "Stage", "measure"]
