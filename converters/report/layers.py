"""Section about the quantization error along the network."""

from __future__ import annotations

from converters.analyze.layer_errors import LayerErrors, TensorError
from converters.number_format import percent
from converters.report import plots
from converters.report.rendering import PageSection, render

#: An operator stands out if it adds this much noise, as a share of the signal's power.
_STANDS_OUT = 0.05
#: A channel that spans fewer of the 256 quantization steps uses fewer than 4 of its 8 bits.
_FEW_STEPS = 16


def section(errors: LayerErrors) -> PageSection:
    """Render the error of every tensor as a figure, with the five worst operators in words."""
    before, after = errors.steepest() or (None, None)
    if after is not None and after.sqnr_db is None:
        after = None
    content = render(
        "layers.html",
        errors=errors,
        plot=plots.layers(errors),
        steepest=after,
        stands_out=_noise(after) - _noise(before) >= _STANDS_OUT,
        noise_before=_share(before),
        noise_after=_share(after),
        noise_at_output=_share(errors.tensors[-1]),
        worst=errors.worst(5),
        few_steps=_FEW_STEPS,
    )
    return PageSection("layers", "Quantization error", content)


def _share(error: TensorError | None) -> str:
    return percent(_noise(error)) if _noise(error) else "nothing"


def _noise(error: TensorError | None) -> float:
    """Return the ratio of noise power to signal power; 0 if the tensors do not differ."""
    return 0.0 if error is None or error.sqnr_db is None else float(10 ** (-error.sqnr_db / 10))
