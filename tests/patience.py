"""The longest time that a test waits for something that must happen."""

PATIENCE_S = 3600
"""Limit for child processes, threads and servers, seconds; only a fault reaches it, also on a very slow machine."""
