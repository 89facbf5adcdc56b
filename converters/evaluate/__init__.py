"""Biometric evaluation: metrics (arithmetic) and runner (files, cache, workers)."""
