"""Arguments that ``edge-convert evaluate`` and ``compare`` share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.errors import ConversionError
from edge_sdk import console
from edge_sdk.errors import InputError

if TYPE_CHECKING:
    from converters.evaluate.runner.execution import Execution

PROGRAM = "edge-convert"


def add_measurement(parser: argparse.ArgumentParser, fmrs: str) -> None:
    """Add the options for comparisons, error rates and the report.

    Args:
        parser: Parser of the command.
        fmrs: Default of --fmr, for the help text.
    """
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help="pairs file in LFW format with the comparisons (default: compare all images with each other)",
    )
    parser.add_argument(
        "--fmr",
        type=rates,
        action=CollectRates,
        metavar="RATE[,RATE]",
        help=f"target FMRs at which to measure TAR, above 0 and below 1; may be repeated (default: {fmrs})",
    )
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="FILE.csv",
        help="also measure error rates by group: a CSV file with the columns subject (or image, as subject/file) and"
        " one or more covariates, such as age band or camera (default: none)",
    )
    parser.add_argument(
        "--data-set", metavar="NAME", help="name of the data set in the results (default: the folder's name)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="PAGE.html",
        help="also write the results as a self-contained HTML page (default: none)",
    )
    parser.add_argument(
        "--thumbnails",
        action="store_true",
        help="with --report: show images, not only their names; faces are personal data",
    )


def add_execution(parser: argparse.ArgumentParser, scope: str) -> None:
    """Add the options for kernels, an accelerator, worker processes and the cache.

    Args:
        parser: Parser of the command.
        scope: Description of the group of kernels and accelerator, a sentence without a full stop.
    """
    group = parser.add_argument_group("execution", scope)
    group.add_argument(
        "--kernels",
        choices=("xnnpack", "reference"),
        help="kernels of LiteRT; the reference kernels compute nearly the same values as tflite-micro and Ethos-U, but"
        " take several times as long as xnnpack (default: the kernels of the target in the card)",
    )
    group.add_argument(
        "--delegate",
        type=_library,
        metavar="LIBRARY",
        help="delegate that runs the file on an accelerator, such as libedgetpu.so.1; the delegate's output must match"
        " the golden vectors of the card (default: none)",
    )
    group.add_argument(
        "--delegate-option",
        action="append",
        default=[],
        type=_delegate_option,
        metavar="NAME=VALUE",
        help="set an option of the delegate; the results record it; may be repeated (default: none)",
    )
    group = parser.add_argument_group("processes and cache")
    group.add_argument(
        "--workers",
        type=count,
        default=0,
        metavar="N",
        help="compute embeddings in N processes with Dask (default: 0, in this process)",
    )
    group.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="compute embeddings on a Dask cluster, such as tls://host:8786 (default: none)",
    )
    group.add_argument(
        "--no-cache", action="store_true", help="neither read nor store embeddings in the cache"
    )


def count(text: str) -> int:
    """Parse a whole number of at most 9 digits."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a whole number without a sign, found {text!r}")
    return int(text)


def rates(text: str) -> tuple[float, ...]:
    """Parse rates above 0 and below 1, separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"expected rates above 0 and under 1 such as 1e-3, found {text!r}")
    return values


def rate(text: str) -> float:
    """Parse a rate above 0 and below 1."""
    values = rates(text)
    if len(values) != 1:
        raise argparse.ArgumentTypeError(f"expected one rate such as 0.05, found {text!r}")
    return values[0]


def points(text: str) -> float:
    """Parse percentage points above 0 and under 100, and return them as a share."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(
            f"expected points above 0 and under 100, such as 0.3, found {text!r}"
        )
    return value / 100


class CollectRates(argparse.Action):
    """Action that collects the rates of a repeated option in descending order, without duplicates."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        arguments: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Add rates to those of earlier occurrences of the option."""
        before = getattr(arguments, self.dest) or ()
        setattr(arguments, self.dest, tuple(sorted({*before, *values}, reverse=True)))


def _delegate_option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, found {text!r}")
    return name, value


def write_page(path: Path, page: str) -> None:
    """Write a report page and print its path on stderr.

    Raises:
        ConversionError: The page cannot be written.
    """
    from converters.output import replace_file

    replace_file(path, page.encode())
    console.say(PROGRAM, f"report written to {path}")


@contextmanager
def usage_errors(arguments: argparse.Namespace) -> Iterator[None]:
    """Report options that contradict each other as a usage error (exit code 2)."""
    try:
        yield
    except (ConversionError, InputError) as error:
        arguments.parser.error(str(error))


def _library(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected the path or name of a library, found an empty text")
    return text


def execution(arguments: argparse.Namespace) -> Execution | None:
    """Return the kernels or delegate that the options select, None for the kernels of the card's target."""
    from converters.evaluate.runner.execution import Execution
    from converters.evaluate.runner.workers import check_workers

    chosen = None
    if arguments.delegate is not None or arguments.kernels is not None or arguments.delegate_option:
        chosen = Execution(
            arguments.kernels,
            arguments.delegate or "",
            tuple(arguments.delegate_option),
        )
    check_workers(chosen, count=arguments.workers, scheduler=arguments.scheduler)
    return chosen


def cache_folder(arguments: argparse.Namespace) -> Path | None:
    """Create the folder of the embedding cache and print its path on stderr; return None if it cannot be used."""
    if arguments.no_cache:
        return None
    from converters.evaluate.runner.embedding_cache import default_folder, prepare

    folder = default_folder()
    problem = prepare(folder)
    message = (
        f"embeddings are stored in {folder}; they are biometric data: delete the folder to remove them,"
        " or use --no-cache"
    )
    console.say(PROGRAM, problem or message)
    return None if problem else folder
