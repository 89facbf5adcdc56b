"""Comparison of probes with stored templates."""
