"""Where along the network the damage begins, as a figure and in words."""

from __future__ import annotations

from converters import number_format
from converters.analyze.layer_errors import LayerErrors, TensorError
from converters.report import plots
from converters.report.html import Content, Html, tag
from converters.report.svg import framed

_STANDS_OUT = 0.05  # of the signal's power, added by one operator
_FEW_STEPS = 16  # under 4 of the 8 bits: such a channel is coarse however the rest of the tensor looks


def layers(errors: LayerErrors) -> Html:
    """The figure, and the five worst operators in words."""
    unit = number_format.count(errors.images, "image")
    caption = [
        f"{number_format.count(len(errors.tensors), 'tensor')} of {errors.candidate} against {errors.baseline}, {unit};"
        " higher is better. ",
        tag("span", "Orange", class_="candidate"),
        ": the integer network's own values, with all that went wrong before. ",
        tag("span", "Blue", class_="base"),
        ": the float values, rounded to this tensor's steps alone. 6 dB is one bit.",
        f" {number_format.count(errors.unmatched, 'tensor')} without a counterpart."
        if errors.unmatched
        else None,
    ]
    worst = errors.worst(5)
    return tag(
        "section",
        tag("h2", "Where the damage begins", id="layers"),
        tag("p", _summary(errors)),
        framed(plots.layers(errors), title="Error along the network", caption=caption, wide=True),
        [
            tag("h3", "The operators whose own steps fit them least"),
            tag("ol", [tag("li", _in_words(t)) for t in worst]),
        ]
        if worst
        else None,
    )


def _summary(errors: LayerErrors) -> Content:
    steepest = errors.steepest()
    if steepest is None or steepest[1].sqnr_db is None:
        return "No tensor differs."
    before, after = steepest
    noise = f"noise is {_share(before)} of the signal's power before it and {_share(after)} after it."
    if _noise(after) - _noise(before) < _STANDS_OUT:
        return [
            "No operator stands out. The largest step is at operator ",
            _named(after),
            f": {noise} At the output it is {_share(errors.tensors[-1])}.",
        ]
    return [
        "Most is lost at operator ",
        _named(after),
        f": {noise}",
        [
            f" The tensor that its own steps fit least is that of operator {t.position}."
            for t in errors.worst(1)
        ],
    ]


def _in_words(error: TensorError) -> Content:
    text: list[Content] = ["Operator ", _named(error)]
    if error.rounding_db is not None:
        text.append(f": rounding alone leaves {number_format.decibels(error.rounding_db)}")
    if error.channel_steps is not None:
        steps = round(error.channel_steps)
        text.append(f"; the median of its {error.shape[-1]} channels spans {steps} of 256 steps")
        if steps < _FEW_STEPS:
            text.append(
                ": few channels are wide and the rest pays for them; equalize the channels before quantizing"
            )
    return [*text, "."]


def _named(error: TensorError) -> Content:
    return [f"{error.position}, {error.operator} ", tag("code", error.tensor)]


def _share(error: TensorError) -> str:
    return "nothing" if error.sqnr_db is None else number_format.percent(_noise(error))


def _noise(error: TensorError) -> float:
    """Noise power over signal power."""
    return 0.0 if error.sqnr_db is None else float(10 ** (-error.sqnr_db / 10))
