"""Inspect and measure networks: gates, per-tensor errors, occlusion maps, golden vectors."""
