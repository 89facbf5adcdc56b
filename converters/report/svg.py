"""Figures as SVG that lies inside the page: its colours, its font, the same bytes each time.

Matplotlib draws with the stand-in colours below; the SVG then names the page's CSS variables instead, so
that one figure serves light, dark and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from converters.errors import ConversionError
from converters.report.html import Html, tag

# Odd values, so that no colour a colormap or a default makes is taken for one of them.
INK = "#101112"
MUTED = "#606162"
GRID = "#d0d1d2"
BASE = "#0072b3"
CANDIDATE = "#d55e01"
THIRD = "#7b3f99"
BAD = "#cc3312"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    BASE: "--base",
    CANDIDATE: "--candidate",
    THIRD: "--third",
    BAD: "--bad",
}
_SETTINGS: dict[Any, Any] = {
    "svg.hashsalt": "edge-sdk",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # it comes with matplotlib, so every host lays out alike
    "font.size": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 10.5,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "text.parse_math": False,  # a file name may hold a dollar sign
    "lines.linewidth": 1.8,
    "path.simplify": True,
}
_PIXELS_PER_INCH = 72.0


@contextmanager
def figure(name: str, *, width: float = 460, height: float = 300) -> Iterator[tuple[Any, list[Html]]]:
    """Draw on a matplotlib figure; the SVG is in the list when the block ends.

    No pyplot and no backend setting: settings hold inside the block alone.

    Args:
        name: Prefix of every id, unique in the page.
        width: In CSS pixels; the figure shrinks with its column.
        height: In CSS pixels.

    Raises:
        ConversionError: Matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConversionError(
            "the report's plots take matplotlib, found none", hint="pip install 'edge-sdk[convert]'"
        ) from error
    drawn: list[Html] = []
    with matplotlib.rc_context(_SETTINGS):
        found = Figure(
            figsize=(width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH),
            dpi=_PIXELS_PER_INCH,
            layout="constrained",
        )
        FigureCanvasSVG(found)
        yield found, drawn
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        found.savefig(out, format="svg", transparent=True, metadata=nothing)
    drawn.append(Html(_inline(out.getvalue(), name)))


def framed(drawing: Html, *, title: str, caption: Any, wide: bool = False) -> Html:
    """A figure with what it says above and what it stands on below."""
    return tag(
        "figure",
        tag("h3", title),
        tag(
            "div",
            drawing,
            class_="plot wide" if wide else "plot",
            role="img",
            aria_label=title,
            tabindex=0 if wide else None,
        ),
        tag("figcaption", caption),
        class_="wide" if wide else None,
    )


def _inline(text: str, name: str) -> str:
    """Strip what a file needs and a page does not; name colours; keep ids apart from other figures'."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns:xlink="[^"]*"|version="1\.1")', "", text, count=2)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # Shown at its own size, or smaller where the column is.
    text = re.sub(
        r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', r'\1 style="max-width: \2px"', text, count=1
    )
    text = text.replace("font-family: 'DejaVu Sans'", "font-family: inherit")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.strip()
