"""``edge-convert evaluate --plan``: how many subjects an evaluation needs."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import optional_contract, print_result
from converters.cli.evaluation_arguments import cache_folder, count, execution, points, rate, usage_errors

if TYPE_CHECKING:
    from converters.evaluate.runner.plan import PlanResult

#: FMRs of a plan without --fmr.
PLAN_FMRS = (1e-2, 1e-3, 1e-4, 1e-5)

# Options of an evaluation that contradict a plan: attribute and option.
_OTHER = {
    "pairs": "--pairs",
    "report": "--report",
    "thumbnails": "--thumbnails",
    "groups": "--groups",
    "errors": "--errors",
    "attention": "--attention",
    "write_card": "--write-card",
    "enrol": "--enrol",
    "probes": "--probes",
    "open_set": "--open-set",
    "enrolled_share": "--enrolled-share",
    "fpir": "--fpir",
    "references": "--references",
    "rank": "--rank",
    "prior": "--prior",
}
# Options that describe how a pilot is embedded.
_PILOT_ONLY = {
    "data_set": "--data-set",
    "kernels": "--kernels",
    "delegate": "--delegate",
    "delegate_option": "--delegate-option",
    "workers": "--workers",
    "scheduler": "--scheduler",
    "no_cache": "--no-cache",
}
_PLAN_ONLY = {
    "images_per_subject": "--images-per-subject",
    "margin": "--margin",
    "fnmr": "--fnmr",
}


def add_plan(parser: argparse.ArgumentParser) -> None:
    """Add the options of a plan."""
    group = parser.add_argument_group(
        "plan", "number of subjects that an evaluation needs, computed before their images are collected"
    )
    group.add_argument(
        "--plan",
        action="store_true",
        help="compute the subjects needed for each --fmr and for a difference of --margin; with FILE and --images, from"
        " these images of a pilot, otherwise for a stated range of populations (default FMRs: 1e-2,1e-3,1e-4,1e-5)",
    )
    group.add_argument(
        "--images-per-subject",
        type=count,
        metavar="N",
        help="with --plan: images of each subject, 1..1000 (default: 4, or the mean of the pilot)",
    )
    group.add_argument(
        "--margin",
        type=points,
        metavar="POINTS",
        help="with --plan: largest acceptable loss of TAR between two files, percentage points above 0 and under 100"
        " (default: 0.3)",
    )
    group.add_argument(
        "--fnmr",
        type=rate,
        metavar="RATE",
        help="with --plan: expected FNMR, above 0 and under 1, for the interval of TAR (default: 0.05, or that of the"
        " pilot)",
    )


def check_plan(arguments: argparse.Namespace) -> None:
    """Exit with a usage error if options contradict each other."""
    error = arguments.parser.error
    default = arguments.parser.get_default
    used = [option for name, option in _OTHER.items() if getattr(arguments, name) != default(name)]
    own = [option for name, option in _PLAN_ONLY.items() if getattr(arguments, name) is not None]
    if not arguments.plan:
        if own:
            error(f"expected --plan with {own[0]}, found {own[0]} alone")
        if arguments.file is None:
            error("expected FILE.tflite, found none (only --plan works without a file)")
        return
    if used:
        error(f"expected --plan without {used[0]}, found both")
    if (arguments.file is None) != (arguments.images is None):
        error("expected FILE.tflite and --images together to measure a pilot, found one of them")
    of_pilot = [option for name, option in _PILOT_ONLY.items() if getattr(arguments, name) != default(name)]
    if arguments.file is None and of_pilot:
        error(f"expected {of_pilot[0]} with FILE.tflite and --images of a pilot, found no pilot")


def run_plan(arguments: argparse.Namespace) -> int:
    """Compute and print a plan."""
    from converters.evaluate.metrics.margin import DEFAULT_MARGIN
    from converters.evaluate.runner.plan import plan

    pilot = None if arguments.file is None else _embed(arguments)
    # Without a pilot only the options can be wrong; with a pilot, its images.
    with usage_errors(arguments) if pilot is None else nullcontext():
        result: PlanResult = plan(
            arguments.fmr or PLAN_FMRS,
            pilot=pilot,
            images_per_subject=arguments.images_per_subject,
            margin=DEFAULT_MARGIN if arguments.margin is None else arguments.margin,
            fnmr=arguments.fnmr,
        )
    print_result(arguments, result.to_json(), result.to_text())
    return 0


def _embed(arguments: argparse.Namespace) -> Any:
    """Embed the images of the pilot."""
    from converters.evaluate.runner.embedding_run import embed_with
    from converters.evaluate.runner.image_sources import ImageSources
    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.evaluate.runner.workers import open_workers
    from converters.progress import stage

    with usage_errors(arguments):
        sources = ImageSources(images=arguments.images, name=arguments.data_set)
        chosen = execution(arguments)
    artefact = open_artefact(arguments.file, contract=optional_contract(arguments), execution=chosen)
    samples = sources.read().samples
    with (
        open_workers(count=arguments.workers, scheduler=arguments.scheduler) as workers,
        stage(f"embed with {artefact.path.name}") as progress,
    ):
        return embed_with(
            artefact, samples, workers=workers, cache=cache_folder(arguments), progress=progress
        )
