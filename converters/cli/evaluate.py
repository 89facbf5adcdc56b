"""``edge-convert evaluate``: measure error rates on labelled images."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.cli.arguments import add_command, add_contract, optional_contract, print_result
from converters.cli.evaluation_arguments import (
    CollectRates,
    add_execution,
    add_measurement,
    cache_folder,
    count,
    execution,
    rates,
    usage_errors,
    write_page,
)
from converters.cli.evaluation_plan import add_plan, check_plan, run_plan
from edge_sdk.errors import InputError


def register(commands: Any) -> None:
    """Add the command ``evaluate``."""
    parser = add_command(
        commands,
        "evaluate",
        "measure the error rates of a file on labelled images",
        _run,
        examples=(
            "evaluate converted/mobilefacenet.cpu_int8.tflite --images people/",
            "evaluate converted/mobilefacenet.cpu_int8.tflite --images people/ --write-card",
            "evaluate converted/mobilefacenet.cpu_int8.tflite --enrol enrolled/ --probes visitors/",
            "evaluate --plan --fmr 1e-4 --images-per-subject 4",
        ),
        details="Images are in one folder per subject. A claim at FMR f needs 3 / f pairs of subjects, or more. "
        "If the data are too few for a claim, the number of subjects it needs is printed. Embeddings are biometric "
        "data. They are cached for the next run: stderr names the folder; delete that folder to remove them.",
    )
    parser.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE.tflite",
        help="file with a model card; for a file without a card, give the input contract with the options below",
    )
    parser.add_argument(
        "--images", type=Path, help="folder, .tar or .zip with one folder of images per subject"
    )
    add_measurement(
        parser, "1e-2,1e-3,1e-4,1e-5,1e-6; with --pairs 1e-1,1e-2,1e-3; with --write-card 1e-2,1e-3,1e-4,1e-5"
    )
    parser.add_argument(
        "--cameras",
        metavar="names|FILE.csv",
        help="leave out pairs of one subject from one camera, and state rank 1, rank 5 and mean average precision, as in person"
        " re-identification: names reads cameras from file names such as 0002_c1s1_000451_03.jpg, FILE.csv has the columns"
        " image,camera (default: compare all images)",
    )
    parser.add_argument(
        "--errors",
        type=count,
        default=0,
        metavar="N",
        help="list the N worst false matches and the N worst false non-matches with possible causes (default: 0)",
    )
    parser.add_argument(
        "--attention",
        type=count,
        default=0,
        metavar="N",
        help="with --report: show where the network looks, in the N least alike pairs of one subject and the N most alike pairs"
        " of different subjects; faces are personal data (default: 0)",
    )
    parser.add_argument(
        "--write-card", action="store_true", help="write thresholds and their evidence to the file's card"
    )
    parser.add_argument(
        "--prior",
        type=_number,
        default=0.5,
        metavar="SHARE",
        help="share of mated comparisons for which probabilities hold, 1e-6..1 - 1e-6 (default: 0.5)",
    )
    group = parser.add_argument_group("identification, 1:N", "subjects to enrol and probes to search")
    group.add_argument(
        "--enrol",
        type=Path,
        metavar="DIR",
        help="folder of images to enrol, subject/image or subject.jpg; use it with --probes, in place of --images",
    )
    group.add_argument(
        "--probes",
        type=Path,
        action="append",
        metavar="DIR",
        help="folder of images to search, one folder per subject; use it with --enrol; may be repeated",
    )
    group.add_argument(
        "--open-set",
        type=Path,
        metavar="FILE",
        help="text file; each line: enrol or probe, a tab, subject/image (default: no 1:N)",
    )
    group.add_argument(
        "--enrolled-share",
        type=_share,
        metavar="SHARE",
        help="share of the subjects to enrol, above 0 and at most 1, drawn with a fixed seed (default: no 1:N)",
    )
    group.add_argument(
        "--references",
        type=count,
        default=1,
        metavar="N",
        help="with --enrolled-share: images to enrol per subject, at least 1 (default: 1)",
    )
    group.add_argument(
        "--fpir",
        type=rates,
        action=CollectRates,
        metavar="RATE[,RATE]",
        help="target FPIRs at which to measure FNIR, above 0 and below 1; may be repeated (default: 1e-1,1e-2)",
    )
    group.add_argument(
        "--rank",
        type=count,
        default=1,
        metavar="N",
        help="length of the candidate list, at least 1 (default: 1)",
    )
    add_plan(parser)
    add_execution(parser, "Scores and thresholds depend on the kernels that run the file")
    add_contract(parser, required=False)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and at most 1, found {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, found {text!r}") from None


def _run(arguments: argparse.Namespace) -> int:
    check_plan(arguments)
    if arguments.plan:
        return run_plan(arguments)
    from converters.evaluate.runner.evaluate import FPIRS, Protocol
    from converters.evaluate.runner.evaluate import evaluate as measure
    from converters.evaluate.runner.group_lists import read_cameras, read_groups
    from converters.evaluate.runner.image_sources import ImageSources
    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.evaluate.runner.workers import open_workers
    from converters.evaluate.runner.write_card import CARD_FMRS, check_writable, write_card
    from edge_sdk.vision.explanation import explained_contract

    if arguments.attention and arguments.report is None:
        raise InputError("expected --report PAGE.html with --attention, found --attention alone")
    contract = optional_contract(arguments)
    with usage_errors(arguments):
        sources = ImageSources(
            images=arguments.images,
            enrol=arguments.enrol,
            probes=tuple(arguments.probes or ()),
            pairs=arguments.pairs,
            open_set=arguments.open_set,
            enrolled_share=arguments.enrolled_share,
            references=arguments.references,
            name=arguments.data_set,
        )
        protocol = Protocol(
            fmrs=arguments.fmr or (CARD_FMRS if arguments.write_card else ()),
            fpirs=arguments.fpir or FPIRS,
            rank=arguments.rank,
            errors=arguments.errors,
            prior=arguments.prior,
            attention=arguments.attention,
        )
        chosen = execution(arguments)
    if arguments.groups is not None:
        protocol = replace(protocol, groups=read_groups(arguments.groups))
    artefact = open_artefact(arguments.file, contract=contract, execution=chosen)
    if arguments.attention:
        explained_contract(artefact.card.input)
    if arguments.write_card:
        check_writable(arguments.file)
    data = sources.read()
    protocol = replace(protocol, pairs=data.pairs, open_set=data.open_set, open_set_name=data.open_set_name)
    if arguments.cameras is not None:
        cameras = read_cameras(arguments.cameras, [sample.name for sample in data.samples.samples])
        with usage_errors(arguments):
            protocol = replace(protocol, cameras=cameras)
    with open_workers(count=arguments.workers, scheduler=arguments.scheduler) as workers:
        evaluation = measure(artefact, data.samples, protocol, workers=workers, cache=cache_folder(arguments))
    if arguments.report is not None:
        from converters.report.measured_pages import evaluation_page

        page = evaluation_page(evaluation, data.samples, artefact, thumbnails=arguments.thumbnails)
        write_page(arguments.report, page)
    value, text = evaluation.to_json(), evaluation.to_text()
    if arguments.write_card:
        written = write_card(arguments.file, evaluation)
        value, text = value | {"written": written.to_json()}, f"{text}\n\n{written.to_text()}"
    print_result(arguments, value, text)
    return 0
