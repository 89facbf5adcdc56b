"""A map of embeddings: their two principal components, with pictures of some subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from converters.report.svg import MUTED, drawing
from edge_sdk.escaping import escaped_line
from edge_sdk.types import Float64Array, FloatArray, UInt8Array

_SUBJECTS = 16
_PICTURE_PX = 34
_COLOURS = ("#3b7dd8", "#d8673b", "#2f9e6e", "#a357c8", "#b98a16", "#c8487f", "#4a9bb0", "#7d7d2a")


@dataclass(frozen=True)
class EmbeddingMap:
    """Two-dimensional positions of embeddings.

    Args:
        places: Shape (N, 2), float64.
        share: Share of the variance that the two axes show, 0..1.
    """

    places: Float64Array
    share: float


def principal_components(vectors: FloatArray) -> EmbeddingMap:
    """Project embeddings on their two principal components (Pearson, 1901).

    The sign of each axis is chosen so that its largest weight is positive, so that the map is the same each time.

    Args:
        vectors: Shape (N, D), N and D at least 2.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    chosen = axes[:, ::-1][:, :2]
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), range(2)])
    total = float(values.sum())
    share = float(values[-2:].sum() / total) if total > 0 else 0.0
    return EmbeddingMap(centred @ chosen, share)


def shown_subjects(subjects: Sequence[str], first: Sequence[str] = ()) -> tuple[str, ...]:
    """Choose subjects whose pictures are on the map: some given subjects, then others spread over all names.

    Args:
        subjects: Subject of each embedding.
        first: Subjects to prefer, such as those of the worst errors.
    """
    names = sorted(set(subjects))
    preferred = [name for name in dict.fromkeys(first) if name in set(names)][: _SUBJECTS // 2]
    others = [name for name in names if name not in preferred]
    count = min(len(others), _SUBJECTS - len(preferred))
    spread = [others[place * len(others) // count] for place in range(count)] if count else []
    return (*preferred, *spread)


def embedding_map(
    positions: EmbeddingMap, subjects: Sequence[str], shown: Sequence[str], pictures: Mapping[str, UInt8Array]
) -> Markup:
    """Draw the map: a point for each image; lines join the images of a shown subject to its centre.

    Args:
        positions: Positions of the N embeddings.
        subjects: Subject of each embedding.
        shown: Subjects to draw in colour.
        pictures: Picture of each shown subject, shape (H, W, C), uint8; the name is written if there is none.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    owners = np.array(subjects)
    with drawing("map", width=960, height=620) as drawn:
        axes = drawn.figure.subplots()
        axes.plot(*positions.places.T, "o", color=MUTED, markersize=2.6, alpha=0.45)
        for number, name in enumerate(shown):
            own = positions.places[owners == name]
            centre, colour = own.mean(axis=0), _COLOURS[number % len(_COLOURS)]
            for place in own:
                axes.plot(*zip(centre, place, strict=True), color=colour, linewidth=1.2)
            axes.plot(*own.T, "o", color=colour, markersize=5)
            if name in pictures:
                image = OffsetImage(_square(pictures[name]), zoom=1)
                box = {"edgecolor": colour, "linewidth": 1.5}
                axes.add_artist(AnnotationBbox(image, centre, pad=0.1, bboxprops=box))
            else:
                text = escaped_line(name[:24])
                axes.annotate(text, centre, (5, 5), textcoords="offset points", color=colour, size=9)
        axes.set_xlabel("first principal component")
        axes.set_ylabel("second principal component")
        axes.margins(0.06)
    return drawn.svg


def _square(pixels: UInt8Array) -> UInt8Array:
    """Reduce a picture to RGB with a longer side of 34 pixels."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    scale = _PICTURE_PX / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX))
