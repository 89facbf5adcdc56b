"""Convert a source model into deployable files: the order of the stages and their options."""
