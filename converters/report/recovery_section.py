"""What training without labels gave: the student's distance to float, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from converters import number_format
from converters.report.html import Html, tag
from converters.report.svg import BASE, CANDIDATE, figure, framed

#: A logarithmic axis has no zero.
_LEAST_DISTANCE = 1e-6


def recoveries(found: Mapping[str, Mapping[str, Any]]) -> Html:
    """The recovery of each int8 network, by its recipe's name."""
    return tag(
        "section",
        tag("h2", "Recovery without labels", id="recovery"),
        [_recovery(name, one) for name, one in found.items()],
    )


def _recovery(name: str, found: Mapping[str, Any]) -> list[Html | None]:
    leaky = (
        f" {number_format.count(found['leaky'], 'PReLU')} became LeakyReLUs, which is another function; the figure from"
        " before is the untrained one's."
        if found["leaky"]
        else ""
    )
    return [
        tag(
            "p",
            f"{name}: trained for {number_format.count(found['steps'], 'step')} on"
            f" {number_format.count(found['images'], 'unlabelled image')} to answer as the float network does. Cosine of the"
            f" int8 file on the selection images: {number_format.cosine(found['before'])} before,"
            f" {number_format.cosine(found['after'])} after.{leaky}",
        ),
        tag("p", found["note"]) if found["note"] else None,
        _curve(name, found),
    ]


def _curve(name: str, found: Mapping[str, Any]) -> Html:
    steps = [point["step"] for point in found["curve"]]
    distance = [max(1 - point["cosine"], _LEAST_DISTANCE) for point in found["curve"]]
    with figure(f"recovery-{name}", width=960, height=260) as (drawing, drawn):
        axes = drawing.subplots()
        axes.plot(steps, distance, "-o", color=CANDIDATE, markersize=4)
        axes.axhline(max(1 - found["before"], _LEAST_DISTANCE), color=BASE, linestyle="--")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
        axes.set_xlabel("training steps")
        axes.set_ylabel("1 − cosine to float")
        axes.xaxis.grid(False)
    caption = (
        "Mean over the selection images, of the network that is trained, which rounds as the int8 file does. The best"
        " step is kept. Dashed: the int8 file before."
    )
    return framed(drawn[0], title="How far from float, by training step", caption=caption, wide=True)
