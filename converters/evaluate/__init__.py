"""Evaluation of artefacts: `metrics` is arithmetic, `runner` reads files and runs networks."""
