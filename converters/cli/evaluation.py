"""``edge-convert evaluate`` and ``compare``: their flags, and what they do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.cli.arguments import add_command, add_contract, optional_contract, tell
from converters.errors import ConversionError
from edge_sdk import console
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from converters.data.samples import SampleSet
    from converters.evaluate.runner.compare import ComparisonResult
    from converters.evaluate.runner.evaluate import Evaluation
    from converters.evaluate.runner.execution import Execution

PROGRAM = "edge-convert"
_EVALUATE_EXAMPLE = """examples:
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --images people/
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --images people/ --write-card
  edge-convert evaluate converted/mobilefacenet.cpu_int8.tflite --enrol enrolled/ --probes visitors/

Images lie in one folder per subject. A figure at FMR f takes 3 / f comparisons of different subjects; what
the data cannot support is said, with how many comparisons it would take. Embeddings are kept for the next
run where stderr says; they are biometric data, and removing that folder deletes them.
"""
_COMPARE_EXAMPLE = """example:
  edge-convert compare converted/mobilefacenet.float32.tflite converted/mobilefacenet.cpu_int8.tflite \\
      --images people/

Images in one folder per subject give error rates, their differences and the decisions that change; loose
images give the cosine of each image's embeddings alone.
"""


def add_commands(commands: Any) -> None:
    """Add the two commands."""
    evaluate = add_command(
        commands, "evaluate", "measure a file's error rates on labelled images", _EVALUATE_EXAMPLE
    )
    _add_evaluate(evaluate)
    add_contract(evaluate)
    evaluate.set_defaults(run=_evaluate, parser=evaluate)
    compare = add_command(
        commands, "compare", "compare files of one model on the same images", _COMPARE_EXAMPLE
    )
    _add_compare(compare)
    add_contract(compare)
    compare.set_defaults(run=_compare, parser=compare)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a .tflite with its card, or any other with the flags below")
    parser.add_argument("--images", type=Path, help="folder, .tar or .zip of subject/image")
    _add_protocol(parser)
    parser.add_argument(
        "--errors",
        type=_count,
        default=0,
        metavar="N",
        help="name the N worst errors of each kind, with causes",
    )
    parser.add_argument(
        "--write-card", action="store_true", help="write thresholds and evidence into the file's card"
    )
    group = parser.add_argument_group("identification, 1:N", "who is enrolled and who is searched")
    group.add_argument(
        "--enrol", type=Path, metavar="DIR", help="images to enrol: subject/image or subject.jpg"
    )
    group.add_argument(
        "--probes", type=Path, action="append", metavar="DIR", help="images to search; may be given twice"
    )
    group.add_argument(
        "--open-set", type=Path, metavar="LIST", help="lines: enrol or probe, tab, subject/image"
    )
    group.add_argument(
        "--enrolled-share",
        type=_share,
        metavar="SHARE",
        help="enrol this share of the subjects, by a rule",
    )
    group.add_argument(
        "--references", type=_count, default=1, metavar="N", help="images enrolled per subject"
    )
    group.add_argument(
        "--fpir", type=_rates, action=_Joined, metavar="RATE[,RATE]", help="FPIRs to measure FNIR at"
    )
    group.add_argument("--rank", type=_count, default=1, help="length of the candidate list")
    _add_execution(parser, "what runs the file; other kernels give other scores, and other thresholds")
    _add_work(parser)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", type=Path, metavar="FLOAT", help="a .tflite")
    parser.add_argument("others", type=Path, nargs="+", metavar="INT8", help="others of the same model")
    parser.add_argument(
        "--images", type=Path, required=True, help="folder, .tar or .zip of subject/image, or crops"
    )
    _add_protocol(parser)
    parser.add_argument(
        "--attention",
        type=_count,
        default=0,
        metavar="N",
        help="show in the page where the networks look on the N worst images; faces are personal data",
    )
    parser.add_argument(
        "--flips", type=_count, default=20, metavar="N", help="name at most N flipped decisions (20)"
    )
    _add_execution(parser, "what runs all files but the first, which XNNPACK runs")
    _add_work(parser)


def _add_protocol(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pairs", type=Path, help="compare what a pairs file lists (LFW format), not all images with all"
    )
    parser.add_argument(
        "--fmr", type=_rates, action=_Joined, metavar="RATE[,RATE]", help="FMRs to measure TAR at"
    )
    parser.add_argument("--data-set", metavar="NAME", help="the images' name, for the evidence")
    parser.add_argument("--report", type=Path, metavar="PAGE.html", help="write one self-contained page too")
    parser.add_argument(
        "--thumbnails", action="store_true", help="show the named images in the page; faces are personal data"
    )


def _add_execution(parser: argparse.ArgumentParser, meaning: str) -> None:
    group = parser.add_argument_group("kernels", meaning)
    group.add_argument(
        "--kernels",
        choices=("xnnpack", "reference"),
        help="of LiteRT: reference kernels are what tflite-micro and an Ethos-U compute, or nearly, and several"
        " times slower (default: those of the card's target)",
    )
    group.add_argument(
        "--delegate",
        metavar="LIBRARY",
        help="such as libedgetpu.so.1: the accelerator itself; it must answer the card's golden vectors",
    )
    group.add_argument(
        "--delegate-option",
        action="append",
        default=[],
        type=_option,
        metavar="NAME=VALUE",
        help="tell the delegate something; the evidence names it",
    )


def _add_work(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("work")
    group.add_argument("--workers", type=_count, default=0, metavar="N", help="embed in N processes (Dask)")
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="embed on a Dask cluster, such as tls://host:8786"
    )
    group.add_argument("--no-cache", action="store_true", help="keep no embeddings, use none")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}")
    return int(text)


def _rates(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"expected rates above 0 and under 1 such as 1e-3, found {text!r}")
    return tuple(values)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value


class _Joined(argparse.Action):
    """Rates of a flag that is given once or several times, the highest first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        arguments: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        before = getattr(arguments, self.dest) or ()
        setattr(arguments, self.dest, tuple(sorted({*before, *values}, reverse=True)))


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected a share above 0 and at most 1, found {text!r}")
    return value


def _evaluate(arguments: argparse.Namespace) -> int:
    from converters.evaluate.runner.evaluate import FPIRS, Protocol
    from converters.evaluate.runner.evaluate import evaluate as measure
    from converters.evaluate.runner.image_sources import ImageSources
    from converters.evaluate.runner.open_artefact import open_artefact
    from converters.evaluate.runner.workers import open_workers
    from converters.evaluate.runner.write_card import CARD_FMRS, check_writable, write_card

    contract = optional_contract(arguments)
    with _usage_errors(arguments):
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
        )
        execution = _execution(arguments)
    artefact = open_artefact(arguments.file, contract=contract, execution=execution)
    if arguments.write_card:
        check_writable(arguments.file)
    data = sources.read()
    protocol = replace(protocol, pairs=data.pairs, open_set=data.open_set, open_set_name=data.open_set_name)
    with open_workers(count=arguments.workers, scheduler=arguments.scheduler) as workers:
        evaluation = measure(artefact, data.samples, protocol, workers=workers, cache=_cache(arguments))
    if arguments.report is not None:
        _write_page(
            arguments, data.samples, evaluation, title=evaluation.artefact.model, evaluations=[evaluation]
        )
    written = write_card(arguments.file, evaluation) if arguments.write_card else None
    value, text = evaluation.to_json(), evaluation.to_text()
    if written is not None:
        value, text = value | {"written": written.to_json()}, f"{text}\n\n{written.to_text()}"
    tell(arguments, value, text)
    return 0


@contextmanager
def _usage_errors(arguments: argparse.Namespace) -> Iterator[None]:
    """Report options that contradict each other as a usage error (exit code 2)."""
    try:
        yield
    except (ConversionError, InputError) as error:
        arguments.parser.error(str(error))


def _execution(arguments: argparse.Namespace) -> Execution | None:
    """Return the execution of the flags, checked against the workers; None for the kernels of the card's target."""
    from converters.evaluate.runner.execution import Execution
    from converters.evaluate.runner.workers import check_workers

    execution = None
    if arguments.delegate is not None or arguments.kernels is not None or arguments.delegate_option:
        execution = Execution(arguments.kernels, arguments.delegate or "", tuple(arguments.delegate_option))
    check_workers(execution, count=arguments.workers, scheduler=arguments.scheduler)
    return execution


def _compare(arguments: argparse.Namespace) -> int:
    if arguments.attention and arguments.report is None:
        raise InputError("--attention draws into the page: expected --report PAGE.html with it, found none")
    from converters.evaluate.runner.compare import compare as measure
    from converters.evaluate.runner.compare import open_artefacts
    from converters.evaluate.runner.comparison_lists import read_pairs
    from converters.evaluate.runner.evaluate import Protocol
    from converters.evaluate.runner.image_sources import open_images
    from converters.evaluate.runner.workers import open_workers

    contract = optional_contract(arguments)
    with _usage_errors(arguments):
        execution = _execution(arguments)
    artefacts = open_artefacts([arguments.first, *arguments.others], contract=contract, execution=execution)
    samples = open_images(arguments.images, name=arguments.data_set)
    pairs = None if arguments.pairs is None else read_pairs(arguments.pairs)
    protocol = Protocol(pairs=pairs, fmrs=arguments.fmr or ())
    with open_workers(count=arguments.workers, scheduler=arguments.scheduler) as workers:
        found = measure(
            artefacts[0],
            artefacts[1:],
            samples,
            protocol,
            flips=arguments.flips,
            workers=workers,
            cache=_cache(arguments),
        )
    if arguments.report is not None:
        from converters.report.material import looks, tensor_errors

        _write_page(
            arguments,
            samples,
            found,
            title=found.baseline.model,
            comparison=found,
            layers=tensor_errors(artefacts[0], artefacts[1], samples),
            attention=looks(
                artefacts[:2], samples, [name for name, _ in found.candidates[0].worst], arguments.attention
            ),
        )
    tell(arguments, found.to_json(), found.to_text())
    return 0


def _cache(arguments: argparse.Namespace) -> Path | None:
    if arguments.no_cache:
        return None
    from converters.evaluate.runner.embedding_cache import default_folder, prepare

    folder = default_folder()
    problem = prepare(folder)
    console.say(
        PROGRAM,
        problem
        or f"embeddings are kept in {folder}; they are biometric data: remove it to delete them,"
        " --no-cache keeps none",
    )
    return None if problem else folder


def _write_page(
    arguments: argparse.Namespace, samples: SampleSet, found: Evaluation | ComparisonResult, **content: Any
) -> None:
    from converters.output import replace_file
    from converters.report.page import render_page

    thumbnails = None
    if arguments.thumbnails:
        wanted = set(found.names_shown())
        thumbnails = {
            sample.name: samples.image(sample) for sample in samples.samples if sample.name in wanted
        }
    page = render_page(title=content.pop("title"), thumbnails=thumbnails, **content)
    replace_file(arguments.report, page.encode())
