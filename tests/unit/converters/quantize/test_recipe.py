"""A recipe that was renamed or altered is refused when it is read, with the field that is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from converters.errors import ConversionError
from converters.pipeline.build import recipes_of, with_saved
from converters.pipeline.options import known_targets
from converters.quantize.recipe import Recipe, shipped
from converters.quantize.saved_recipe import read_saved

PLAIN = json.loads(json.dumps(shipped("cpu_int8").to_json()))


def saved(folder: Path, **changes: Any) -> Path:
    path = folder / "x.recipe.json"
    path.write_text(json.dumps({**PLAIN, "tools": {}, "source": {}, "calibration": {}, **changes}))
    return path


def test_a_saved_recipe_is_read_with_what_it_was_made_from(tmp_path: Path) -> None:
    assert read_saved(saved(tmp_path)).recipe == shipped("cpu_int8")


@pytest.mark.parametrize("name", ["mine", "", "cpu_int8 ", "../cpu_int8", "float32"])
def test_a_renamed_recipe_is_refused_before_anything_is_computed(tmp_path: Path, name: str) -> None:
    recipes = recipes_of(known_targets(("cpu",)))
    path = saved(tmp_path, name=name)
    with pytest.raises(ConversionError, match=f"expected a recipe named 'cpu_int8', found {name!r}"):
        with_saved(recipes, read_saved(path).recipe, path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5),
        ("target", ["cpu"]),
        ("ranges", "max"),
        ("float_operators", "PRELU"),
        ("float_operators", ["PRELU", []]),
        ("float_operators", ["prelu"]),
        ("partitions", "1"),
        ("partitions", -1),
        ("partitions", True),
        ("partitions", 1 << 40),
        ("equalize", "some"),
        ("weight_share", 2),
        ("weight_share", float("nan")),
        ("weight_share", "0.5"),
        ("bias_correction", "false"),
        ("keep_float", "a"),
        ("keep_float", [1]),
        ("quantizer", None),
        ("bound_slopes", 1),
        ("spelled", {"PRELU": 1}),
        ("leaky", 3),
        ("recovery_steps", 1.5),
        ("recovery_seed", -1),
        ("recovered_sha256", "abc"),
    ],
)
def test_an_altered_field_is_named(tmp_path: Path, field: str, value: Any) -> None:
    path = saved(tmp_path, **{field: value})
    with pytest.raises(ConversionError) as caught:
        read_saved(path)
    assert str(path) in str(caught.value) and f"'{field}'" in str(caught.value)


def test_a_misspelled_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="found 'equalise'"):
        read_saved(saved(tmp_path, equalise="all"))


def test_reading_what_was_written_gives_the_same_recipe() -> None:
    for recipe in recipes_of(known_targets(("cpu", "edgetpu", "mobile"))):
        assert Recipe.from_json(recipe.to_json()) == recipe


def test_a_pipe_a_device_or_a_huge_file_is_no_recipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConversionError, match="a device or a pipe"):
            read_saved(path)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConversionError, match="at most 16 MiB"):
        read_saved(large)
