"""Compare artefacts of one model on the same images: embeddings, error rates and decisions that change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from converters.data.samples import SampleSet
from converters.evaluate.metrics.curves import check_rate, threshold_at_fmr
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples, in_common
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.fidelity import compare_artefacts, embedding_cosines, flipped_pairs
from converters.evaluate.metrics.margin import DEFAULT_MARGIN, judge
from converters.evaluate.metrics.paired import paired_differences
from converters.evaluate.metrics.scores import ScoreSet
from converters.evaluate.metrics.smoothed import pooled_difference, smoothed_differences
from converters.evaluate.metrics.subject_scores import Comparisons
from converters.evaluate.runner.comparison_result import CandidateComparison, ComparisonResult, NamedFlip
from converters.evaluate.runner.embedding_run import embed_with
from converters.evaluate.runner.evaluate import Protocol, comparisons_of, notes_of, verify
from converters.evaluate.runner.execution import Execution
from converters.evaluate.runner.group_rates import changes_of, check_groups, groups_of
from converters.evaluate.runner.identity import identity_of
from converters.evaluate.runner.open_artefact import OpenedArtefact, open_artefact
from converters.evaluate.runner.workers import Workers
from converters.progress import Stages, stage
from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split

#: Candidate FMRs for the list of flipped decisions; the first that the data support is used.
FLIP_FMRS = (1e-3, 1e-2, 1e-1)
WORST_IMAGES = 5
FLIPS = 20

_ONE_MODEL = "compare files that were converted from one model"


def compare(
    baseline: OpenedArtefact,
    candidates: Sequence[OpenedArtefact],
    samples: SampleSet,
    protocol: Protocol | None = None,
    *,
    flips: int = FLIPS,
    margin: float = DEFAULT_MARGIN,
    workers: Workers | None = None,
    cache: Path | None = None,
    stages: Stages = stage,
) -> ComparisonResult:
    """Embed the same images with all artefacts and compare embeddings, error rates and decisions.

    Args:
        baseline: The float file.
        candidates: Other artefacts of the same model, one or more.
        samples: The images; without subjects, only embeddings are compared.
        protocol: Comparisons and FMRs (default: all pairs); without 1:N and error analysis.
        flips: Maximum number of flipped decisions to name, >= 0.
        margin: Largest acceptable loss of TAR, a share above 0 and under 1, for the verdict.
        workers: Workers that compute the embeddings (default: this process).
        cache: Folder of cached embeddings (default: no cache).
        stages: Shows progress.

    Raises:
        ConversionError: An artefact runs through a delegate, and the workers are other processes.
        ModelContractError: The input contracts or the embedding lengths differ, so the artefacts are not of one
            model.
        InputError: There is no candidate, or no image that all artefacts embedded; all comparisons are mated or all
            are non-mated; the covariates do not fit the images; or the protocol includes 1:N or error analysis.
    """
    if not candidates:
        raise InputError("expected one or more files to compare with the first, found none")
    if flips < 0:
        raise InputError(f"expected flips of 0 or more, found {flips}")
    check_rate(margin, "a margin")
    protocol = protocol or Protocol()
    if protocol.open_set is not None or protocol.errors:
        raise InputError(
            "a comparison has no 1:N identification and no error analysis; evaluate each file instead"
        )
    artefacts = (baseline, *candidates)
    _check_one_model(artefacts)
    if protocol.groups is not None:
        check_groups(protocol.groups, samples)
    embedded = []
    for artefact in artefacts:
        with stages(f"embed with {artefact.path.name}") as progress:
            embedded.append(embed_with(artefact, samples, workers=workers, cache=cache, progress=progress))
    kept = _in_common(embedded)
    with stages("compare"):
        first = verify(kept[0], protocol) if samples.labelled else None
        results = tuple(
            _compare_one(artefact, kept[0], own, protocol, flips, margin)
            if samples.labelled
            else _cosines_only(artefact, kept[0], own)
            for artefact, own in zip(candidates, kept[1:], strict=True)
        )
    groups = None
    if protocol.groups is not None and first is not None:
        with stages("compare groups"):
            comparisons = comparisons_of(kept[0], protocol)
            groups = groups_of(protocol.groups, samples, kept[0], comparisons, first, seed=protocol.seed)
    notes = list(notes_of(samples, baseline.card))
    if not samples.labelled:
        notes.append("no subject folders, so no error rates: embeddings alone are compared")
    lost = len(samples.samples) - len(kept[0].names)
    if lost:
        name, reason = next(failure for own in embedded for failure in own.failures)
        notes.append(f"{lost} images could not be embedded by every file, the first {name}: {reason}")
    return ComparisonResult(
        baseline=identity_of(baseline),
        verification=first,
        candidates=results,
        data_set=samples.data_set,
        images=len(kept[0].names),
        images_sha256=kept[0].data_digest,
        notes=tuple(notes),
        groups=groups,
    )


def open_artefacts(
    paths: Sequence[str | Path],
    *,
    contract: AnyContract | None = None,
    execution: Execution | None = None,
) -> list[OpenedArtefact]:
    """Open files of one model; a file without a card takes the contract of the first file with a card.

    Args:
        paths: Two or more .tflite files.
        contract: Input contract, if no file carries a card.
        execution: Kernels or delegate of every file except the first, which always runs with XNNPACK. Give a file twice
            to compare two kernels. Default: the kernels nearest to the target of each card.

    Raises:
        BackendUnavailableError: The delegate cannot be loaded.
        ModelError: A file is missing, damaged or refused by the interpreter.
        ModelContractError: No contract is known, or the contracts disagree.
    """
    own = [_contract_of(path) for path in paths]
    # If cards differ, the files are of different models; `compare` reports this, so cards are not checked here.
    first = next((card_contract for card_contract in own if card_contract is not None), None)
    return [
        open_artefact(
            path,
            contract=contract or (first if card_contract is None else None),
            execution=Execution() if position == 0 else execution,
        )
        for position, (path, card_contract) in enumerate(zip(paths, own, strict=True))
    ]


def _contract_of(path: str | Path) -> AnyContract | None:
    data = read_model_bytes(path)
    check_identifier(data, path)
    card = split(data)[1].get(CARD_NAME)
    return None if card is None else ModelCard.from_bytes(card).input


def _check_one_model(artefacts: Sequence[OpenedArtefact]) -> None:
    contracts = list(dict.fromkeys(artefact.card.input.describe() for artefact in artefacts))
    if len(contracts) > 1:
        raise ModelContractError(
            f"expected one input contract, found {' and '.join(contracts)}", hint=_ONE_MODEL
        )
    sizes = list(dict.fromkeys(str(artefact.card.dimension) for artefact in artefacts))
    if len(sizes) > 1:
        raise ModelContractError(
            f"expected embeddings of one length, found {' and '.join(sizes)} values", hint=_ONE_MODEL
        )


def _in_common(embedded: Sequence[EmbeddedSamples]) -> list[EmbeddedSamples]:
    """Reduce each set to the images that all artefacts embedded, in the same order."""
    smallest = embedded[0]
    for other in embedded[1:]:
        smallest, _ = in_common(smallest, other)
    return [in_common(smallest, own)[1] for own in embedded]


def _cosines_only(
    artefact: OpenedArtefact, baseline: EmbeddedSamples, candidate: EmbeddedSamples
) -> CandidateComparison:
    cosines = embedding_cosines(baseline.vectors, candidate.vectors)
    order = cosines.argsort(kind="stable")[:WORST_IMAGES]
    return CandidateComparison(
        artefact=identity_of(artefact),
        cosine_mean=float(cosines.mean()),
        cosine_min=float(cosines.min()),
        worst=tuple((candidate.names[row], float(cosines[row])) for row in order),
        verification=None,
        fidelity=None,
        differences=(),
        flips=(),
        flips_fmr=None,
    )


def _compare_one(
    artefact: OpenedArtefact,
    baseline: EmbeddedSamples,
    candidate: EmbeddedSamples,
    protocol: Protocol,
    flips: int,
    margin: float,
) -> CandidateComparison:
    before, after = (comparisons_of(own, protocol) for own in (baseline, candidate))
    fmrs = protocol.target_fmrs
    scores = before.scores(), after.scores()
    fmr, named = _flips(baseline.names, before, after, scores, flips)
    pooled = pooled_difference(before, after, scores=scores, seed=protocol.seed)
    return replace(
        _cosines_only(artefact, baseline, candidate),
        verification=verify(candidate, protocol),
        fidelity=compare_artefacts(before, after, names=baseline.names, fmrs=fmrs, worst=WORST_IMAGES),
        differences=paired_differences(
            before, after, fmrs=fmrs, replicates=max(protocol.replicates, 1), seed=protocol.seed
        ),
        flips=named,
        flips_fmr=fmr,
        group_changes=()
        if protocol.groups is None
        else changes_of(protocol.groups, baseline, before, after, fmrs, seed=protocol.seed),
        pooled=pooled,
        verdict=None if isinstance(pooled, Unsupported) else judge(pooled, margin=margin),
        smoothed=smoothed_differences(before, after, fmrs=fmrs, scores=scores, seed=protocol.seed),
    )


def _flips(
    names: Sequence[str],
    before: Comparisons,
    after: Comparisons,
    scores: tuple[ScoreSet, ScoreSet],
    limit: int,
) -> tuple[float | None, tuple[NamedFlip, ...]]:
    for fmr in FLIP_FMRS if limit else ():
        thresholds = threshold_at_fmr(scores[0], fmr), threshold_at_fmr(scores[1], fmr)
        if isinstance(thresholds[0], Unsupported) or isinstance(thresholds[1], Unsupported):
            continue
        rows = flipped_pairs(
            before, after, baseline_threshold=thresholds[0], candidate_threshold=thresholds[1], limit=limit
        )
        return fmr, tuple(
            NamedFlip(
                names[row.first],
                names[row.second],
                row.mated,
                row.baseline_score,
                row.candidate_score,
                lost=(row.baseline_score >= thresholds[0]) == row.mated,
            )
            for row in rows
        )
    return None, ()
