"""Command line of measurements on labelled crops of some people, and on crops of other people for the threshold."""

from __future__ import annotations

import argparse
from pathlib import Path

from converters.data.samples import open_samples
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.runner.embedding_cache import default_folder
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.open_artefact import open_artefact


def two_groups_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the arguments `model`, `--images` and `--strangers`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="an artefact, with its model card")
    parser.add_argument("--images", type=Path, required=True, help="labelled crops, as subject/image")
    parser.add_argument("--strangers", type=Path, required=True, help="labelled crops of other persons")
    return parser


def embed_two_groups(options: argparse.Namespace) -> tuple[EmbeddedSamples, EmbeddedSamples]:
    """Embed the images and those of the strangers with the model; embeddings are cached."""
    artefact = open_artefact(options.model)
    images, strangers = (
        embed_with(artefact, open_samples(path), cache=default_folder())
        for path in (options.images, options.strangers)
    )
    return images, strangers
