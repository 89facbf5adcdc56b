"""Pages of evaluations and comparisons, with the images and tensor errors that they show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.analyze.attention import NamedPair, PairStudy, explain_pairs
from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, measure_layer_errors
from converters.analyze.occlusion import Attention, make_attention
from converters.data.samples import SampleSet
from converters.evaluate.runner.comparison_result import ComparisonResult
from converters.evaluate.runner.evaluate import Evaluation
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.evaluate.runner.shown_pairs import ShownPair
from converters.progress import stage
from converters.report.page import render_page
from edge_sdk.errors import AcquisitionError, InputError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.card import InputContract
from edge_sdk.types import SampleArray, UInt8Array


def evaluation_page(
    evaluation: Evaluation, samples: SampleSet, artefact: OpenedArtefact, *, thumbnails: bool
) -> str:
    """Render the page of an evaluation, with maps of the pairs that it shows.

    Args:
        evaluation: Result of the evaluation.
        samples: Images of the evaluation.
        artefact: The evaluated file.
        thumbnails: Show each image whose name is on the page.
    """
    images = _images(samples, evaluation.names_shown()) if thumbnails else None
    return render_page(
        title=evaluation.artefact.model,
        thumbnails=images,
        evaluations=[evaluation],
        pairs=explained_pairs(evaluation.shown_pairs, artefact, samples),
    )


def comparison_page(
    comparison: ComparisonResult,
    artefacts: Sequence[OpenedArtefact],
    samples: SampleSet,
    *,
    thumbnails: bool,
    maps: int,
) -> str:
    """Render the page of a comparison, with the tensor errors of the first candidate.

    Args:
        comparison: Result of the comparison.
        artefacts: The float file and the candidates.
        samples: Images of the comparison.
        thumbnails: Show each image whose name is on the page.
        maps: Number of images to draw occlusion maps of, beginning with the image that changes most; 0 draws none.
    """
    names = [name for name, _ in comparison.candidates[0].worst]
    return render_page(
        title=comparison.baseline.model,
        thumbnails=_images(samples, comparison.names_shown()) if thumbnails else None,
        comparison=comparison,
        layers=_tensor_errors(artefacts[0], artefacts[1], samples),
        attention=_occlusion_maps(artefacts[:2], samples, names[:maps]),
    )


def _images(samples: SampleSet, names: Sequence[str]) -> dict[str, UInt8Array] | None:
    """Read images for thumbnails; None if the samples are arrays."""
    if samples.arrays:
        return None
    return {sample.name: samples.image(sample) for sample in samples.samples if sample.name in set(names)}


def _tensor_errors(
    baseline: OpenedArtefact, candidate: OpenedArtefact, samples: SampleSet
) -> LayerErrors | None:
    """Measure the error of every tensor on a few images.

    Returns None if no image can be read, or if the candidate was equalized, because its tensors then have other scales
    than those of the float file. The page of the conversion compares them with a float reference of the same scales.
    """
    crops = _crops(samples, [sample.name for sample in samples.samples[:LAYER_IMAGES]], baseline.card.input)
    if candidate.card.recipe.get("equalize") or not crops:
        return None
    with stage("measure every tensor") as progress:
        return measure_layer_errors(
            baseline.network,
            candidate.network,
            baseline.card.input,
            np.stack(list(crops.values())),
            names=(baseline.path.name, candidate.path.name),
            progress=progress,
        )


def _occlusion_maps(
    artefacts: Sequence[OpenedArtefact], samples: SampleSet, names: Sequence[str]
) -> tuple[Attention, ...]:
    contract = artefacts[0].card.input
    if not isinstance(contract, InputContract):
        return ()
    networks = tuple((artefact.path.name, artefact.network) for artefact in artefacts)
    studies = []
    with stage("compute occlusion maps") as progress:
        for name, crop in _crops(samples, names, contract).items():
            studies.append(make_attention(networks, contract, crop, image=name))
            progress(len(studies), len(names))
    return tuple(studies)


def explained_pairs(
    pairs: Sequence[ShownPair], artefact: OpenedArtefact, samples: SampleSet
) -> tuple[PairStudy, ...]:
    """Explain pairs of images; pairs with an image that cannot be read any more are left out."""
    contract = artefact.card.input
    if not pairs or not isinstance(contract, InputContract):
        return ()
    crops = _crops(samples, [name for pair in pairs for name in (pair.first, pair.second)], contract)
    named = [
        NamedPair((pair.first, pair.second), (crops[pair.first], crops[pair.second]), pair.mated)
        for pair in pairs
        if pair.first in crops and pair.second in crops
    ]
    with stage("explain pairs") as progress:
        return explain_pairs(artefact.network, contract, named, progress=progress)


def _crops(samples: SampleSet, names: Sequence[str], contract: AnyContract) -> dict[str, SampleArray]:
    """Read samples by name at the network's input size; skip unusable ones, which the evaluation has counted."""
    known = {sample.name: sample for sample in samples.samples}
    crops = {}
    for name in names:
        try:
            crops[name] = samples.at_size(known[name], contract)
        except (AcquisitionError, InputError):
            continue
    return crops
