"""Curves of a training: error rates on the calibration subjects."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from converters.evaluate.metrics.curves import equal_error_rate, false_non_match_rate, threshold_at_fmr
from converters.evaluate.metrics.evidence import Unsupported
from converters.evaluate.metrics.scores import all_pairs
from edge_sdk.model.card import InputContract
from edge_sdk.types import UInt8Array
from edge_train.data.subjects import Subjects
from edge_train.training.trainer import Inference, embed, inference

#: FMR of the curve's TAR.
CURVE_FMR = 1e-2
#: Largest number of images, and of bytes of their pixels.
MAX_IMAGES, MAX_BYTES = 1000, 128 << 20
# Largest difference of a norm from 1.
_TOLERANCE = 1e-3


class CalibrationCurve:
    """Measures a backbone on all pairs of some images of the calibration subjects.

    The images are decoded at the first call and kept. With more than 1,000 images, or 128 MiB of pixels, only the first subjects
    whose images fit are used.

    Args:
        subjects: The calibration subjects.
        contract: Size, colour and normalization of the images.
    """

    def __init__(self, subjects: Subjects, contract: InputContract) -> None:
        most = max(2, min(MAX_IMAGES, MAX_BYTES // int(np.prod(contract.shape))))
        counts = np.cumsum([len(group) for group in subjects.images])
        used = max(2, int(np.searchsorted(counts, most, side="right")))
        self._samples = [sample for group in subjects.images[:used] for sample in group][:most]
        self._labels = subjects.labels[: len(self._samples)].astype(np.int64)
        self._reader, self._contract = subjects.samples, contract
        self._pixels: UInt8Array | None = None
        self._compiled: tuple[keras.Model, Inference] | None = None

    def __call__(self, backbone: keras.Model) -> Mapping[str, float]:
        """Return ``eer``, and ``tar`` at FMR 1e-2, each 0..1; a rate that the images do not support is absent.

        Embeddings that are zero or not finite count as equal to each other.
        """
        if self._pixels is None:
            self._pixels = np.stack(
                [self._reader.at_size(sample, self._contract) for sample in self._samples]
            )
        if self._compiled is None or self._compiled[0] is not backbone:
            self._compiled = backbone, inference(backbone)
        vectors = embed(self._compiled[1], self._pixels, self._contract)
        # The training goes on, because early networks recover; a network that is dead at the end has an EER of 0.5.
        no_direction = ~(np.abs(np.linalg.norm(vectors, axis=1) - 1) < _TOLERANCE)
        vectors[no_direction] = np.eye(1, vectors.shape[1], dtype=np.float32)
        scores = all_pairs(vectors, self._labels)
        values = {}
        rate = equal_error_rate(scores)
        if not isinstance(rate, Unsupported):
            values["eer"] = rate.rate
        threshold = threshold_at_fmr(scores, CURVE_FMR)
        if not isinstance(threshold, Unsupported) and scores.mated_trials:
            values["tar"] = 1.0 - float(false_non_match_rate(scores, np.array([threshold]))[0])
        return values
