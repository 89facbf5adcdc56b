"""``edge-convert compare``: compare files of one model on the same images."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, add_contract, optional_contract, print_result
from converters.cli.evaluation_arguments import (
    add_execution,
    add_measurement,
    cache_folder,
    count,
    execution,
    points,
    usage_errors,
    write_page,
)
from edge_sdk.errors import InputError


def register(commands: Any) -> None:
    """Add the command ``compare``."""
    parser = add_command(
        commands,
        "compare",
        "compare files of one model on the same images",
        _run,
        examples=(
            "compare converted/mobilefacenet.float32.tflite converted/mobilefacenet.cpu_int8.tflite --images people/",
        ),
        details="Reports error rates, their differences and the changed decisions. The main result is the difference of "
        "TAR with its interval and a verdict: no worse than the margin, worse, or cannot tell. If images are not in one folder per "
        "subject, only the cosine between files is reported for each image.",
    )
    parser.add_argument("first", type=Path, metavar="FLOAT.tflite", help="float file, used as the baseline")
    parser.add_argument(
        "others", type=Path, nargs="+", metavar="INT8.tflite", help="other files of the same model"
    )
    parser.add_argument(
        "--images",
        type=Path,
        required=True,
        help="folder, .tar or .zip of images, with or without one folder per subject",
    )
    add_measurement(parser, "1e-2,1e-3,1e-4,1e-5,1e-6; with --pairs 1e-1,1e-2,1e-3")
    parser.add_argument(
        "--attention",
        type=count,
        default=0,
        metavar="N",
        help="with --report: show occlusion maps of the N images that change most; faces are personal data"
        " (default: 0)",
    )
    parser.add_argument(
        "--margin",
        type=points,
        default=0.003,
        metavar="POINTS",
        help="largest acceptable loss of TAR in percentage points, above 0 and under 100, for the verdict"
        " (default: 0.3)",
    )
    parser.add_argument(
        "--flips",
        type=count,
        default=20,
        metavar="N",
        help="list at most N changed decisions (default: 20)",
    )
    add_execution(parser, "These options apply to all files but the first, which runs with XNNPACK")
    add_contract(parser, required=False)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.attention and arguments.report is None:
        raise InputError("expected --report PAGE.html with --attention, found --attention alone")
    from converters.evaluate.runner.compare import compare as measure
    from converters.evaluate.runner.compare import open_artefacts
    from converters.evaluate.runner.comparison_lists import read_pairs
    from converters.evaluate.runner.evaluate import Protocol
    from converters.evaluate.runner.group_lists import read_groups
    from converters.evaluate.runner.image_sources import open_images
    from converters.evaluate.runner.workers import open_workers

    contract = optional_contract(arguments)
    with usage_errors(arguments):
        chosen = execution(arguments)
    artefacts = open_artefacts([arguments.first, *arguments.others], contract=contract, execution=chosen)
    samples = open_images(arguments.images, name=arguments.data_set)
    pairs = None if arguments.pairs is None else read_pairs(arguments.pairs)
    groups = None if arguments.groups is None else read_groups(arguments.groups)
    protocol = Protocol(pairs=pairs, fmrs=arguments.fmr or (), groups=groups)
    with open_workers(count=arguments.workers, scheduler=arguments.scheduler) as workers:
        comparison = measure(
            artefacts[0],
            artefacts[1:],
            samples,
            protocol,
            flips=arguments.flips,
            margin=arguments.margin,
            workers=workers,
            cache=cache_folder(arguments),
        )
    if arguments.report is not None:
        from converters.report.measured_pages import comparison_page

        page = comparison_page(
            comparison, artefacts, samples, thumbnails=arguments.thumbnails, maps=arguments.attention
        )
        write_page(arguments.report, page)
    print_result(arguments, comparison.to_json(), comparison.to_text())
    return 0
