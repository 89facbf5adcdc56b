"""Convert a source model into deployable files."""
