"""Positions of five facial landmarks in an aligned crop."""

from __future__ import annotations

#: Deng et al. 2019 (arXiv:1801.07698), 112x112: left eye, right eye, nose, left and right mouth corner, as seen
#: in the image.
ARCFACE_112 = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


def arcface(height: int, width: int) -> tuple[tuple[float, float], ...]:
    """Scale ArcFace's template to another size.

    The template is scaled by the longer side divided by 112, and centred. The template for 112x96 fits the 112x112
    crop without its 8 left and 8 right columns; networks of that size are trained on such crops.

    >>> arcface(112, 96)[0]
    (30.2946, 51.6963)
    >>> arcface(224, 224)[2]
    (112.0504, 143.4732)
    """
    scale = max(height, width) / 112
    across, down = (width - 112 * scale) / 2, (height - 112 * scale) / 2
    return tuple((round(x * scale + across, 4), round(y * scale + down, 4)) for x, y in ARCFACE_112)
