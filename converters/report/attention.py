"""Section of a page with explained pairs: where two images are alike for the network."""

from __future__ import annotations

from collections.abc import Sequence

from converters.analyze.attention import PairStudy
from converters.report.images import picture
from converters.report.rendering import PageSection, render

#: Longer side of a pair's picture on the page, in CSS pixels.
_PICTURE_PX = 900


def section(studies: Sequence[PairStudy]) -> PageSection:
    """Render explained pairs in their order, each with its picture and its figures."""
    content = render(
        "attention.html",
        refused=studies[0].explanation.refused,
        studies=[_study(study) for study in studies],
    )
    return PageSection("pairs", "Where the network looks", content)


def _study(study: PairStudy) -> dict[str, object]:
    first, second = study.pair.names
    kind = {True: "one subject", False: "different subjects", None: ""}[study.pair.mated]
    positions = study.explanation.positions
    return {
        "first": first,
        "second": second,
        "kind": kind,
        "cosine": study.explanation.cosine,
        "shares": None if positions is None else [float(shares.values.sum()) for shares in positions],
        "constants": None if positions is None else [shares.constant for shares in positions],
        "refused": study.explanation.refused,
        "remainder": None if positions is None else max(abs(shares.remainder) for shares in positions),
        "picture": picture(study.picture(), _PICTURE_PX),
    }
