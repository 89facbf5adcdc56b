"""The training loop: schedule, compiled step, checkpoints, curves."""
