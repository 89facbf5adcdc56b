"""Device plug-ins are found and used; the example in tests/plugins/acme_device is on sys.path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tomllib

from edge_sdk import Embedder, InputError, ModelError, PluginError
from edge_sdk.plugins import find_plugins, open_plugin
from edge_sdk.vision.images import read_image
from tests.conftest import Product

EXAMPLE = Path(__file__).parents[2] / "plugins" / "acme_device"


def install(site: Path, distribution: str, groups: dict[str, dict[str, str]]) -> None:
    """Write the metadata of a distribution with entry points: group -> name -> ``module:attribute``."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [
        line
        for group, plugins in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in plugins.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path in which the example is installed with the entry points of its pyproject.toml."""
    folder = tmp_path / "site"
    folder.mkdir()
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / "acme_device.py", folder)
    install(folder, project["name"], project["entry-points"])
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "acme_device", raising=False)
    return folder


@pytest.fixture
def edge_sdk(site: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs ``edge-sdk`` in a process in which the example is installed."""
    paths = [str(site), str(EXAMPLE.parents[2])]

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "edge_sdk.cli", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.usefixtures("site")
def test_a_plugin_is_imported_only_when_it_is_used() -> None:
    assert list(find_plugins("edge_sdk.cameras")) == ["arrays"]
    assert "acme_device" not in sys.modules
    assert open_plugin("edge_sdk.cameras", "arrays:frames").name == "arrays in frames"
    assert open_plugin("edge_sdk.cameras", "usb:1") is None


def test_a_broken_plugin_names_its_distribution(site: Path) -> None:
    install(site, "broken-camera", {"edge_sdk.cameras": {"broken": "no_such_module:Camera"}})
    with pytest.raises(PluginError, match=r"no_such_module:Camera of broken-camera .* cannot be loaded"):
        open_plugin("edge_sdk.cameras", "broken")
    assert open_plugin("edge_sdk.cameras", "arrays:frames") is not None


def test_a_name_is_used_once(site: Path) -> None:
    install(site, "other-camera", {"edge_sdk.cameras": {"arrays": "other:Camera"}})
    with pytest.raises(PluginError, match=r"acme-device .* and plug-in other:Camera of other-camera"):
        find_plugins("edge_sdk.cameras")
    with pytest.raises(PluginError, match="the name 'arrays' is built in"):
        find_plugins("edge_sdk.cameras", reserved=("arrays",))


@pytest.mark.usefixtures("site")
def test_a_backend_must_give_the_golden_vectors(
    golden_model_path: Path, model_path: Path, products: list[Product]
) -> None:
    embedder = Embedder.open(golden_model_path, backend="acme")
    assert embedder.backend.device == "acme" and embedder.backend.runtime == "acme-runtime 1.0"
    assert embedder.backend.checked
    image = read_image(products[0].enrol)
    assert embedder.embed(image) @ Embedder.open(golden_model_path).embed(image) > 0.999
    with pytest.raises(ModelError, match="no golden vectors"):
        Embedder.open(model_path, backend="acme")
    with pytest.raises(InputError, match=r"\(installed: acme\), found 'other'"):
        Embedder.open(golden_model_path, backend="other")
    with pytest.raises(InputError, match="found both"):
        Embedder.open(golden_model_path, backend="acme", delegate="libother.so")


def test_a_gallery_opens_with_a_token_only(
    edge_sdk: Callable[..., subprocess.CompletedProcess[str]],
    golden_model_path: Path,
    products: list[Product],
    tmp_path: Path,
) -> None:
    (tmp_path / "token").write_text("5a" * 32)
    files = ["--model", golden_model_path, "--gallery", "home.gallery", "--key", "acme-token:token"]
    done = edge_sdk("enrol", "oat", products[0].enrol, *files, "--backend", "acme")
    assert done.returncode == 0, done.stderr
    done = edge_sdk(
        "identify", products[0].enrol, *files, "--backend", "acme", "--threshold", "0.9", "--json"
    )
    assert done.returncode == 0, done.stderr
    status = edge_sdk("gallery", "status", "--gallery", "home.gallery", "--key", "acme-token:token")
    assert "acme token" in status.stdout, status.stderr
    (tmp_path / "token").write_text("6b" * 32)
    assert edge_sdk("identify", products[0].enrol, *files, "--threshold", "0.9").returncode == 3
    (tmp_path / "token").unlink()
    gone = edge_sdk("identify", products[0].enrol, *files, "--threshold", "0.9")
    assert gone.returncode == 3 and "plug in the token" in gone.stderr


def test_a_camera_and_a_detector_enrol_and_watch(
    edge_sdk: Callable[..., subprocess.CompletedProcess[str]],
    golden_model_path: Path,
    products: list[Product],
    tmp_path: Path,
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    crop = read_image(products[0].enrol)
    for number in range(4):
        frame = np.full((240, 320, 3), 96 + number, np.uint8)
        frame[40 : 40 + 96, 100 : 100 + 96] = crop
        np.save(frames / f"{number}.npy", np.kron(frame, np.ones((2, 2, 1), np.uint8)))
    landmarks = [[276, 182], [336, 182], [306, 212], [282, 240], [330, 240]]
    (tmp_path / "rest.json").write_text(json.dumps({"box": [200, 80, 192, 192], "landmarks": landmarks}))
    files = ["--model", golden_model_path, "--gallery", "home.gallery", "--key", "acme-token:token"]
    (tmp_path / "token").write_text("5a" * 32)
    seen = ["--camera", "arrays:frames", "--detector", "head-rest:rest.json"]
    assert edge_sdk("gallery", "create", *files).returncode == 0
    done = edge_sdk("face", "enrol", "oat", *seen, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    done = edge_sdk("face", "watch", *seen, *files, "--threshold", "0.9", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[0])["subject"] == "oat"
