"""What a comparison's page shows beyond the figures: where the damage begins, where the networks look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.analyze.layer_errors import LAYER_IMAGES, LayerErrors, layer_errors
from converters.analyze.occlusion import Attention, attention
from converters.data.samples import SampleSet
from converters.evaluate.runner.open_artefact import OpenedArtefact
from converters.progress import stage
from edge_sdk.errors import AcquisitionError
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_sdk.vision.resize import fit


def tensor_errors(
    baseline: OpenedArtefact, candidate: OpenedArtefact, samples: SampleSet
) -> LayerErrors | None:
    """Error of every tensor on a few images.

    Args:
        baseline: The float file.
        candidate: The file to hold against it.
        samples: Where the images are.

    Returns:
        None where the candidate was equalized, since its tensors then have scales of their own (its conversion's
        page shows them against their float twins), and where no image can be read.
    """
    crops = _crops(samples, [sample.name for sample in samples.samples[:LAYER_IMAGES]], baseline.card.input)
    if candidate.card.recipe.get("equalize") or not crops:
        return None
    with stage("measure every tensor") as progress:
        return layer_errors(
            baseline.network,
            candidate.network,
            baseline.card.input,
            np.stack(list(crops.values())),
            names=(baseline.path.name, candidate.path.name),
            progress=progress,
        )


def looks(
    artefacts: Sequence[OpenedArtefact], samples: SampleSet, names: Sequence[str], count: int
) -> tuple[Attention, ...]:
    """Occlusion maps of a few images.

    Args:
        artefacts: The files to draw beside each other.
        samples: Where the images are.
        names: Images in the order of interest.
        count: How many of them to draw; 0 draws none.
    """
    contract = artefacts[0].card.input
    networks = tuple((artefact.path.name, artefact.network) for artefact in artefacts)
    found = []
    with stage("cover the images, patch by patch") as progress:
        for name, crop in _crops(samples, names[:count], contract).items():
            found.append(attention(networks, contract, crop, image=name))
            progress(len(found), count)
    return tuple(found)


def _crops(samples: SampleSet, names: Sequence[str], contract: InputContract) -> dict[str, UInt8Array]:
    """Images at the network's size by name; those that cannot be read were counted where they were embedded."""
    known = {sample.name: sample for sample in samples.samples}
    crops = {}
    for name in names:
        try:
            image = samples.image(known[name], color=contract.color)
        except AcquisitionError:
            continue
        crops[name] = fit(image, contract.height, contract.width)
    return crops
