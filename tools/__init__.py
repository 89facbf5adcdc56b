"""The workbench: commands that run from a checkout and are not installed."""
