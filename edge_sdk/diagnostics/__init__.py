"""Diagnostics of a device: checks (doctor) and measurements (bench)."""
