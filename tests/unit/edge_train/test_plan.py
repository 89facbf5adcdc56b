"""A plan holds no contradiction, and a plan file that cannot be used is refused with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edge_train.errors import PlanError
from edge_train.plan import SECTIONS, Plan, defaults_for
from edge_train.run.request import DEFAULT_MINUTES, PlanSource

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected either steps or minutes, found neither"),
        ({"steps": 5, "minutes": 1.0}, "expected either steps or minutes, found both"),
        ({"steps": 0}, r"steps: expected a whole number in 1\.\.10000000, found 0"),
        ({"steps": True}, "steps: expected a whole number"),
        ({"steps": 2.5}, "steps: expected a whole number"),
        ({"minutes": 0.0}, "minutes: expected a number above 0"),
        ({"minutes": float("nan")}, "minutes: expected a number above 0"),
        ({"steps": 5, "size": (15, 96)}, r"height of size: expected a whole number in 16\.\.512, found 15"),
        ({"steps": 5, "size": (96, 513)}, "width of size: "),
        ({"steps": 5, "size": 96}, r"size: expected \(height, width\) in pixels, found 96"),
        ({"steps": 5, "color": "grey"}, "color: expected rgb, gray, found 'grey'"),
        ({"steps": 5, "backbone": "resnet"}, "backbone: expected .*quantized.*, found 'resnet'"),
        ({"steps": 5, "width": 0.0}, "width: expected a number above 0 to 8, found 0.0"),
        ({"steps": 5, "dimension": 4}, "dimension: "),
        ({"steps": 5, "loss": "arcfac"}, "loss: expected .*, found 'arcfac'"),
        ({"steps": 5, "loss_settings": {"margins": 1}}, "setting of loss arcface: expected scale, margin"),
        ({"steps": 5, "loss_settings": {"margin": 9.0}}, "margin of loss arcface: "),
        ({"steps": 5, "augmentation": "cats"}, "augmentation: expected none, "),
        ({"steps": 5, "augmentation_strength": -1.0}, "augmentation_strength: "),
        ({"steps": 5, "subjects_per_batch": 1}, "subjects_per_batch: "),
        ({"steps": 5, "images_per_subject": 0}, "images_per_subject: "),
        (
            {"steps": 5, "loss": "triplet", "images_per_subject": 1},
            "images_per_subject: expected at least 2 for loss triplet, .* found 1",
        ),
        (
            {"steps": 5, "subjects_per_batch": 1000, "images_per_subject": 5},
            "expected at most 4096 images in a batch, found 1000 subjects x 5 images",
        ),
        ({"steps": 5, "learning_rate": 0.0}, "learning_rate: "),
        ({"steps": 5, "weight_decay": -0.1}, "weight_decay: "),
        ({"steps": 5, "seed": -1}, "seed: "),
        ({"steps": 5, "targets": ()}, "targets: expected names of targets"),
        ({"steps": 5, "targets": ("cpus",)}, "targets: expected cpu, .* found 'cpus'"),
        ({"steps": 5, "targets": ("cpu", "cpu")}, "targets: expected each target once"),
    ],
)
def test_a_contradiction_cannot_be_written(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan(**settings)


def test_a_plan_file_gives_the_plan_that_it_was_written_from(tmp_path: Path) -> None:
    plan = Plan(
        size=(128, 64),
        color="gray",
        loss="cosface",
        loss_settings={"margin": 0.1, "scale": 12},
        minutes=2.5,
        targets=("cpu", "ethos-u"),
        weight_decay=1e-6,
    )
    path = tmp_path / "plan.toml"
    path.write_text(plan.to_toml())
    assert Plan.read(path) == plan
    assert Plan.read(path).to_toml() == plan.to_toml()


def test_a_square_size_and_a_single_target_need_no_list(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[input]\nsize = 64\n[training]\nsteps = 9\n[output]\ntargets = "mobile"\n')
    plan = Plan.read(path)
    assert (plan.size, plan.targets) == ((64, 64), ("mobile",))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[training]\nstep = 9", r"\[training\]: expected steps, .*found 'step'", "did you mean 'steps'?"),
        (
            "[trainig]\nsteps = 9",
            r"expected sections \[input\], .*found \[trainig\]",
            "did you mean 'training'?",
        ),
        ("steps = 9", "found the key 'steps' outside of a section", r"steps belongs to section \[training\]"),
        ("[input]\nseed = 9", "found 'seed'", r"seed belongs to section \[training\]"),
        ("[loss]\nmargn = 0.2", "found 'margn'", "did you mean 'margin'?"),
        (
            "[loss]\nname = 'softmax'\nmargin = 0.2\n[training]\nsteps=1",
            "setting of loss softmax",
            "remove margin",
        ),
        ("[training\n", "expected TOML, found an error", None),
        ("[training]\nsteps = 1\nsteps = 2\n", "expected TOML, found an error", None),
        ("[training]\nsteps = 'many'\n", "steps: expected a whole number", "change steps"),
    ],
)
def test_a_fault_of_a_plan_file_is_named(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=message) as caught:
        Plan.read(path)
    assert hint is None or re.search(hint, str(caught.value.hint))


def test_a_plan_file_that_is_missing_or_not_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="expected a plan file, found none: No such file"):
        Plan.read(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="expected TOML"):
        Plan.read(tmp_path / "binary.toml")


def test_overrides_replace_the_file_and_the_file_replaces_defaults(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("[loss]\nmargin = 0.2\n[network]\ndimension = 48\n[training]\nminutes = 9\nseed = 4\n")
    plan = Plan.read(path, defaults={"dimension": 64, "subjects_per_batch": 12}, steps=20, seed=None)
    assert (plan.steps, plan.minutes) == (20, None)
    assert (plan.dimension, plan.subjects_per_batch, plan.seed) == (48, 12, 4)
    assert plan.loss_settings == {"margin": 0.2}
    # The margin belongs to the loss of the file.
    assert Plan.read(path, loss="softmax").loss_settings == {}


def test_the_training_digest_depends_on_settings_of_the_training_alone() -> None:
    plan = Plan(minutes=10)
    assert plan.training_digest() == Plan(minutes=10.0, targets=("mobile",)).training_digest()
    others = [Plan(minutes=11), Plan(minutes=10, seed=1), Plan(minutes=10, loss_settings={"margin": 0.1})]
    digests = {
        plan.training_digest(),
        plan.training_digest("pictures"),
        *(p.training_digest() for p in others),
    }
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("subjects", "images", "expected"),
    [
        (2, 1, (2, 2)),
        (10, 20, (10, 12)),
        (3, 4, (3, 4)),
        (100, 2, (64, 2)),
        (161, 20, (32, 4)),
        (9000, 3, (42, 3)),
    ],
)
def test_a_default_batch_has_about_128_images_if_there_are_enough(
    subjects: int, images: int, expected: tuple[int, int]
) -> None:
    chosen = defaults_for(subjects, images)
    assert (chosen["subjects_per_batch"], chosen["images_per_subject"]) == expected
    assert Plan(steps=1, **chosen).dimension == chosen["dimension"]


def test_the_reference_page_lists_every_key() -> None:
    page = (ROOT / "docs/reference/training-plan.md").read_text(encoding="utf-8")
    for section, keys in SECTIONS.items():
        part = page.split(f"## [{section}]")[1].split("\n## ")[0]
        assert set(re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)) >= set(keys), section


def test_the_examples_of_the_reference_page_are_plans(tmp_path: Path) -> None:
    page = (ROOT / "docs/reference/training-plan.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert examples
    for number, text in enumerate(examples):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        Plan.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[network]\nwidth = 1" + "0" * 400, "a whole number of more than 63 bits"),
        ("[training]\nsteps = 0x" + "f" * 9000, "a whole number of more than 63 bits"),
        ("[output]\ntargets = [[0x" + "f" * 99 + "]]", "a whole number of more than 63 bits"),
        ("x = " + "[" * 100_000, "deeply nested"),
        ("[loss]\nname = '" + "x" * 5000 + "'", "loss: expected"),
    ],
)
def test_a_monstrous_value_is_refused_in_short(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=message) as raised:
        Plan.read(path, steps=5)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("setting", ["width", "learning_rate"])
def test_a_number_that_no_float_holds_is_refused(setting: str) -> None:
    with pytest.raises(PlanError, match=f"{setting}: expected a number above 0"):
        Plan(steps=5, **{setting: 10**400})
    with pytest.raises(PlanError, match="scale of loss arcface: expected a number"):
        Plan(steps=5, loss_settings={"scale": 10**400})


def test_a_default_length_counts_only_without_another(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text("[network]\nwidth = 0.5\n")
    assert Plan.read(path, defaults={"minutes": 10.0}).minutes == 10
    assert PlanSource(file=path)._plan({}).minutes == DEFAULT_MINUTES
    path.write_text("[training]\nsteps = 7\n")
    plan = Plan.read(path, defaults={"minutes": 10.0})
    assert (plan.steps, plan.minutes) == (7, None)


@pytest.mark.parametrize(
    ("given", "batch"),
    [
        ({"images_per_subject": 200}, (2, 200)),
        ({"images_per_subject": 16}, (8, 16)),
        ({"images_per_subject": 1}, (128, 1)),
        ({"subjects_per_batch": 2048}, (2048, 2)),
        ({"subjects_per_batch": 8}, (8, 4)),
        ({"subjects_per_batch": 8, "images_per_subject": 8}, (8, 8)),
    ],
)
def test_the_other_side_of_a_batch_follows_from_the_given_one(
    given: dict[str, int], batch: tuple[int, int]
) -> None:
    plan = Plan.of(given, defaults=defaults_for(1000, 4), steps=5)
    assert (plan.subjects_per_batch, plan.images_per_subject) == batch
