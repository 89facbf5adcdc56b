"""Inspect networks and measure them: gates, per-tensor errors, latency, fidelity."""
