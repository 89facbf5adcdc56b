"""Run Python programs in child processes."""
