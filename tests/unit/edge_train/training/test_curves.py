"""The curve is measured with the metrics of the evaluation, on a bounded number of images."""

from __future__ import annotations

import numpy as np
import pytest

from converters.data.samples import open_samples
from converters.evaluate.metrics.curves import equal_error_rate
from converters.evaluate.metrics.scores import all_pairs
from converters.evaluate.metrics.verification_evidence import EqualErrorRate
from edge_train.data.subjects import Subjects
from edge_train.training import curves
from edge_train.training.curves import CalibrationCurve
from edge_train.training.trainer import embed
from tests.drawn_subjects import CONTRACT, draw_subjects, small_backbone


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> Subjects:
    folder = tmp_path_factory.mktemp("drawn") / "pictures"
    return Subjects.of(open_samples(draw_subjects(folder, subjects=8, images=4)))


def test_the_rates_are_those_of_the_evaluation(subjects: Subjects) -> None:
    backbone = small_backbone()
    values = CalibrationCurve(subjects, CONTRACT)(backbone)
    pixels = np.stack([subjects.samples.at_size(sample, CONTRACT) for sample in subjects.flat])
    rate = equal_error_rate(all_pairs(embed(backbone, pixels, CONTRACT), subjects.labels.astype(np.int64)))
    assert isinstance(rate, EqualErrorRate)
    assert values["eer"] == rate.rate
    assert 0 <= values["tar"] <= 1


def test_a_rate_that_the_images_do_not_support_is_absent(subjects: Subjects) -> None:
    # 2 subjects with 4 images: 16 non-mated comparisons, and FMR 1e-2 needs 300.
    few = Subjects.of(subjects.samples, subjects.names[:2])
    assert set(CalibrationCurve(few, CONTRACT)(small_backbone())) == {"eer"}


def test_only_whole_subjects_that_fit_the_memory_are_used(
    subjects: Subjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(curves, "MAX_IMAGES", 14)
    part = Subjects.of(subjects.samples, subjects.names[:3])
    backbone = small_backbone()
    assert CalibrationCurve(subjects, CONTRACT)(backbone) == CalibrationCurve(part, CONTRACT)(backbone)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_dead_network_distinguishes_nothing(subjects: Subjects, value: float) -> None:
    curve, backbone = CalibrationCurve(subjects, CONTRACT), small_backbone()
    assert curve(backbone)["eer"] < 0.3
    for weight in backbone.trainable_variables:
        weight.assign(np.full(weight.shape, value))
    assert curve(backbone) == {"eer": 0.5, "tar": 0.0}
