"""`edge-convert map` measures a map on images that took no part in the fit; `gallery migrate` uses or refuses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.cli import main
from tests.conftest import Outcome, build_model, evidence, in_process
from tests.labelled_images import contents, write

POINTS = (evidence(), evidence(threshold=0.9, fmr=1e-2))


@pytest.fixture
def edge_convert(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    return lambda *arguments: in_process(main, arguments, capsys)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An int8 network, its float form, another network, calibration images and labelled images of other people."""
    folder = tmp_path_factory.mktemp("map")
    models = {
        "int8": {"integer": True},
        "float": {"integer": False},
        "other": {"integer": True, "seed": 5},
    }
    for name, options in models.items():
        (folder / f"{name}.tflite").write_bytes(build_model(operating_points=POINTS, **options))
    people = contents(110, 2, noise=20)
    subjects = sorted({name.split("/")[0] for name in people})
    parts = {"people": subjects[:50], "crops": subjects[50:]}
    for part, chosen in parts.items():
        write(folder / part, {name: data for name, data in people.items() if name.split("/")[0] in chosen})
    return {path.stem: path for path in folder.iterdir()}


def arguments(files: dict[str, Path], old: str, new: str, output: Path, **changes: Path) -> list[Any]:
    options = {"calibration": files["crops"], "images": files["people"], "output": output, **changes}
    return [
        "map",
        files[old],
        files[new],
        *(part for name, path in options.items() for part in (f"--{name}", path)),
    ]


def test_two_forms_of_one_network_have_a_map_that_a_gallery_uses(
    files: dict[str, Path],
    tmp_path: Path,
    edge_convert: Callable[..., Outcome],
    edge_sdk: Callable[..., Outcome],
) -> None:
    output = tmp_path / "new.edgemap"
    done = edge_convert(*arguments(files, "int8", "float", output))
    assert done.code == 0, done
    assert done.out.splitlines()[-2:] == ["verdict: a gallery uses this map", f"written to {output}"]
    images = sorted(files["people"].rglob("*.png"))
    home = ("--gallery", tmp_path / "home.gallery", "--key", tmp_path / "home.key")
    assert edge_sdk("enrol", "ann", images[0], "--model", files["int8"], *home).code == 0
    done = edge_sdk("gallery", "migrate", "--model", files["float"], "--map", output, *home)
    assert done.out.startswith("changed to the new model by map: 1 subject with 1 template\n"), done
    done = edge_sdk("identify", images[0], "--model", files["float"], "--threshold", "0.8", *home)
    assert done.out.endswith("accepted as ann\n")


def test_two_networks_with_different_features_have_a_map_that_is_refused(
    files: dict[str, Path], tmp_path: Path, edge_convert: Callable[..., Outcome]
) -> None:
    output = tmp_path / "other.edgemap"
    done = edge_convert(*arguments(files, "int8", "other", output), "--json")
    value = json.loads(done.out)
    assert (done.code, value["usable"]) == (1, False)
    assert value["loss"] == pytest.approx(value["mapped_fnmr"] - value["native_fnmr"])
    assert value["loss_interval"][0] <= value["loss"] <= value["loss_interval"][1]
    assert output.exists()


def test_images_of_the_fit_and_files_of_one_network_are_refused(
    files: dict[str, Path], tmp_path: Path, edge_convert: Callable[..., Outcome]
) -> None:
    output = tmp_path / "none.edgemap"
    done = edge_convert(*arguments(files, "int8", "other", output, images=files["crops"]))
    assert done.code == 3
    assert "is also a calibration image" in done.err
    done = edge_convert(*arguments(files, "int8", "int8", output))
    assert done.code == 3
    assert "both files have the same embedding space" in done.err
    assert not output.exists()
