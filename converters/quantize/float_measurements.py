"""Measurements of the float network that every quantization of a conversion shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from converters.data.calibration import CalibrationSet
from converters.data.embedding import embed_crops
from converters.progress import stage
from converters.quantize.statistics import ChannelStatistics, channel_statistics
from converters.sources.float_model import FloatModel
from edge_sdk.types import FloatArray


class FloatMeasurements:
    """Measures the float network on calibration images; each measurement is made once, if it is needed.

    Args:
        model: The float network.
        images: The calibration images.
    """

    def __init__(self, model: FloatModel, images: CalibrationSet) -> None:
        self._model, self._images = model, images

    @cached_property
    def statistics(self) -> Mapping[str, ChannelStatistics]:
        """Statistics of every activation on the images for ranges."""
        with stage("calibrate") as progress:
            return channel_statistics(
                self._model.network, self._model.contract, self._images.ranges.pixels, progress=progress
            )

    @cached_property
    def baseline(self) -> FloatArray:
        """Embeddings of the selection images, shape (n, D)."""
        return embed_crops(self._model.network, self._model.contract, self._images.selection.pixels)
