"""Losses are built by name, with settings from the number of classes and steps, and wrong settings are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from edge_train.errors import PlanError
from edge_train.losses import LOSSES, build_loss, check_settings
from edge_train.losses.choice import defaults, margin, scale


def _build(name: str, classes: int = 5, **settings: Any) -> Any:
    return build_loss(name, classes=classes, dimension=8, steps=300, settings=settings)


def test_the_list_of_losses_needs_no_keras() -> None:
    program = "import sys, edge_train.losses; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_built_with_its_defaults(name: str) -> None:
    loss = _build(name)
    assert loss.needs == LOSSES[name].needs
    assert bool(loss.trainable_variables) == (LOSSES[name].has_classes or name == "margin")


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("classes", "steps"), [(2, 1), (161, 300), (100_000, 1_000_000)])
def test_defaults_are_allowed_settings(name: str, classes: int, steps: int) -> None:
    values = defaults(name, classes=classes, dimension=96, steps=steps)
    check_settings(name, values)
    assert set(values) == set(LOSSES[name].settings)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("arcfaces", {}, "expected softmax, .* found 'arcfaces'"),
        ("arcface", {"scales": 3.0}, "expected scale, margin, found 'scales'"),
        ("softmax", {"scale": 3.0}, "expected none, found 'scale'"),
        ("arcface", {"scale": 0.0}, "scale of loss arcface: expected a number above 0, found 0.0"),
        ("arcface", {"scale": True}, "expected a number above 0, found True"),
        ("arcface", {"scale": float("nan")}, "expected a number above 0, found nan"),
        ("arcface", {"margin": 2.0}, "expected a number from 0 to 1.5708, found 2.0"),
        ("arcface", {"margin": "0.3"}, "expected a number from 0 to 1.5708, found '0.3'"),
        ("sphereface", {"margin": 2.5}, "expected a whole number from 1 to 6, found 2.5"),
        ("triplet", {"squared": 1}, "expected true or false, found 1"),
        ("magface", {"norm_low": 9.0, "norm_high": 3.0}, "less than norm_high, 3, found 9"),
        ("magface", {"norm_low": 1e6}, "less than norm_high"),
        ("magface", {"margin_low": 0.6, "margin_high": 0.5}, "at most margin_high, 0.5, found 0.6"),
    ],
)
def test_a_wrong_name_or_setting_is_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        _build(name, **settings)
    assert caught.value.hint


def test_a_single_subject_is_refused() -> None:
    with pytest.raises(PlanError, match="expected at least 2, found 1") as caught:
        _build("arcface", classes=1)
    assert caught.value.hint
    with pytest.raises(PlanError, match="found dimension 2 and 300 steps"):
        build_loss("arcface", classes=5, dimension=2, steps=300)


def test_settings_replace_defaults() -> None:
    assert _build("arcface", margin=0.25).margin == 0.25
    assert _build("proxy_anchor", head_rate=7.0).head_rate == 7.0


def test_scales_rise_with_classes_and_steps_and_margins_with_the_steps() -> None:
    scales = [scale(classes, 900) for classes in (2, 10, 161, 1_000, 85_742, 10**30)]
    assert scales == sorted(scales)
    assert scales[0] >= 4
    assert scales[-1] <= 64
    assert scale(161, 300) == pytest.approx(scale(161, 900) / 2)
    assert scale(161, 300) < scale(161, 600) < scale(161, 900) == scale(161, 10**6)
    margins = [margin(steps, 0.3) for steps in (1, 300, 600, 900, 10**6)]
    assert margins == sorted(margins)
    assert margins[-1] == pytest.approx(0.3)


def test_the_seed_decides_the_head() -> None:
    heads = [
        np.asarray(build_loss("arcface", classes=5, dimension=8, steps=300, seed=seed).centres)
        for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(heads[0], heads[1])
    assert np.abs(heads[0] - heads[2]).max() > 0.01
