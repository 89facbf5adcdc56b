"""Measure the converted files on the evaluation subjects, and write thresholds into their cards."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.analyze.attention import PairStudy
from converters.data.samples import SampleSet
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.protocols import split_open_set
from converters.evaluate.metrics.verification_evidence import OperatingPointEvidence
from converters.evaluate.runner.compare import compare
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Evaluation, Protocol, evaluate
from converters.evaluate.runner.open_artefact import open_artefact
from converters.evaluate.runner.write_card import CARD_FMRS, CardUpdate, write_card
from converters.progress import Progress
from converters.report.measured_pages import explained_pairs
from converters.targets.finishing import finish_file
from edge_sdk.model.operating_point import subjects_needed

#: FMR that fewer subjects support than the FMRs of a card need.
FMR_OF_FEW_SUBJECTS = 1e-1
#: Number of worst errors of each kind to show.
WORST_ERRORS = 8
_ENROLLED_SHARE = 0.5


@dataclass(frozen=True)
class Measurement:
    """Error rates of the files of a run.

    Args:
        evaluations: Evaluation of each file, in the order of the files.
        main: The evaluation of the main file, with its worst errors.
        comparison: The int8 files compared with the float file; None without an int8 file.
        embedded: Embeddings of the evaluation images by the main file.
        pairs: The least alike pairs of one subject and the most alike pairs of different subjects, with the parts of the images
            that make their cosine.
        cards: Thresholds written into the cards, by file name.
        without_claim: Names of the files for whose thresholds the evaluation subjects are too few.
    """

    evaluations: tuple[Evaluation, ...]
    main: Evaluation
    comparison: ComparisonResult | None
    embedded: EmbeddedSamples
    pairs: tuple[PairStudy, ...]
    cards: dict[str, CardUpdate]
    without_claim: tuple[str, ...]


def measure_files(
    files: Sequence[str],
    main: str,
    converted: Path,
    output: Path,
    samples: SampleSet,
    *,
    work: Path,
    pairs: int = 0,
) -> Measurement:
    """Measure converted files, copy them to the output folder with thresholds in their cards, and renew their by-products.

    Half of the subjects are enrolled with one image each for the 1:N figures; the others are strangers.

    Args:
        files: Names of the files to measure; the first is the float network's.
        main: Name of the file with the error analysis.
        converted: Folder with the converted files, which stay unchanged.
        output: Folder for the copies.
        samples: Images of the evaluation subjects.
        work: Folder for the embeddings, so that an interrupted measurement continues.
        pairs: Number of pairs of each kind to explain; see ``Measurement.pairs``.

    Raises:
        InputError: The images do not support an evaluation, such as one image per subject.
    """
    cache = work / "embeddings"
    protocol = _protocol(samples)
    evaluations = []
    for name in files:
        artefact = open_artefact(converted / name)
        own = replace(protocol, errors=WORST_ERRORS, attention=pairs) if name == main else protocol
        evaluations.append(evaluate(artefact, samples, own, cache=cache))
    opened = [open_artefact(converted / name) for name in files]
    comparison = None
    integer = [artefact for artefact in opened[1:] if artefact.card.precision == "int8"]
    if integer:
        comparison = compare(
            opened[0], integer, samples, Protocol(fmrs=protocol.fmrs), cache=cache, stages=_silent
        )
    chosen = files.index(main)
    embedded = embed_with(opened[chosen], samples, cache=cache)
    for file in sorted(converted.iterdir()):
        shutil.copy2(file, output / file.name)
    cards = {}
    for evaluation in evaluations:
        if any(map(_claimed, evaluation.verification.points)):
            cards[evaluation.artefact.file] = write_card(output / evaluation.artefact.file, evaluation)
    for name, card in cards.items():
        for target in card.outdated:
            finish_file(output / name, target=target)
    explained = explained_pairs(evaluations[chosen].shown_pairs, opened[chosen], samples) if pairs else ()
    without = tuple(name for name in files if name not in cards)
    return Measurement(
        tuple(evaluations), evaluations[chosen], comparison, embedded, explained, cards, without
    )


@contextmanager
def _silent(_label: str) -> Iterator[Progress]:
    """Show no progress: the comparison reads cached embeddings."""
    yield lambda done, total: None


def _protocol(samples: SampleSet) -> Protocol:
    names = [sample.name for sample in samples.samples]
    subjects = [sample.subject for sample in samples.samples]
    drawn = split_open_set(names, subjects, enrolled_share=_ENROLLED_SHARE)
    rule = "half of the evaluation subjects, drawn with seed 0, enrolled with one image each"
    few = len(set(subjects)) < subjects_needed(max(CARD_FMRS))
    fmrs = (FMR_OF_FEW_SUBJECTS, *CARD_FMRS) if few else CARD_FMRS
    return Protocol(fmrs=fmrs, open_set=drawn, open_set_name=rule)


def _claimed(point: Any) -> bool:
    return isinstance(point, OperatingPointEvidence) and not isinstance(point.claim, Unsupported)
