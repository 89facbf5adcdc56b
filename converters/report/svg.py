"""Figures as inline SVG in the colours and font of the page, with the same bytes each time.

Matplotlib draws with the placeholder colours below. The SVG then uses the page's CSS variables instead, so
that one figure suits light mode, dark mode and print.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from converters.errors import ConversionError
from edge_sdk.extras import install_command

# Unusual values, which no colormap and no default of matplotlib contains.
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
    "font.family": ["DejaVu Sans"],  # comes with matplotlib, so the layout is the same everywhere
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
    "text.parse_math": False,  # a dollar sign in a file name does not begin a formula
    "lines.linewidth": 1.8,
    "path.simplify": True,
}
_PIXELS_PER_INCH = 72.0


@dataclass
class Drawing:
    """A matplotlib figure that becomes SVG.

    Attributes:
        figure: The ``matplotlib.figure.Figure`` to draw on.
        svg: The SVG; empty until the block of ``drawing`` ends.
    """

    figure: Any
    svg: Markup = field(default_factory=Markup)


@contextmanager
def drawing(name: str, *, width: float = 460, height: float = 300) -> Iterator[Drawing]:
    """Draw on a matplotlib figure and convert it to SVG when the block ends.

    Matplotlib's settings change only inside the block; neither pyplot nor a backend setting is used.

    Args:
        name: Prefix of every id, unique on the page.
        width: Width in CSS pixels; the figure shrinks with its column.
        height: Height in CSS pixels.

    Raises:
        ConversionError: Matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConversionError(
            "the plots of the report need matplotlib, which is not installed",
            hint=install_command("convert"),
        ) from error
    with matplotlib.rc_context(_SETTINGS):
        size = (width / _PIXELS_PER_INCH, height / _PIXELS_PER_INCH)
        drawn = Drawing(Figure(figsize=size, dpi=_PIXELS_PER_INCH, layout="constrained"))
        FigureCanvasSVG(drawn.figure)
        yield drawn
        out = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawn.figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    drawn.svg = Markup(_inline(out.getvalue(), name))


def _inline(text: str, name: str) -> str:
    """Remove parts that only a separate SVG file needs, replace colours by variables, and prefix ids with the name."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns:xlink="[^"]*"|version="1\.1")', "", text, count=2)
    text = text.replace("xlink:href=", "href=")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-")
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    # Show the figure at its own size, or smaller in a narrow column.
    text = re.sub(
        r'(<svg[^>]*?) width="([\d.]+)pt" height="[\d.]+pt"', r'\1 style="max-width: \2px"', text, count=1
    )
    text = text.replace("font-family: 'DejaVu Sans'", "font-family: inherit")
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text.strip()
