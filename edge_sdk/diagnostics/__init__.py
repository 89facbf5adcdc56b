"""Examine a device (doctor) and measure it (bench)."""
