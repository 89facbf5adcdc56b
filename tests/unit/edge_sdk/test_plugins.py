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
from PIL import Image

from edge_sdk import Embedder, Gallery, GalleryError, InputError, ModelError, PluginError
from edge_sdk.gallery.keys.provider import checked_provider
from edge_sdk.plugins import find_plugins, open_plugin
from edge_sdk.vision.images import read_image
from tests.conftest import Product
from tests.patience import PATIENCE_S

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
            timeout=PATIENCE_S,
        )

    return run


@pytest.mark.usefixtures("site")
def test_a_plugin_is_imported_only_when_it_is_used() -> None:
    assert list(find_plugins("edge_sdk.cameras")) == ["arrays"]
    assert "acme_device" not in sys.modules
    assert open_plugin("edge_sdk.cameras", "arrays:frames").name == "arrays in frames"
    assert open_plugin("edge_sdk.cameras", "usb:1") is None


@pytest.mark.parametrize(
    "fault",
    [
        "import no_such_module",
        "raise NameError('x')",
        "raise SystemExit(0)",
        "Camera = None",
        "def Camera(argument): return None",
        "def Camera(argument): raise KeyError(argument)",
        "def Camera(argument): raise SystemExit(0)",
    ],
)
def test_a_fault_of_a_plugin_is_a_plugin_error(site: Path, fault: str) -> None:
    (site / "faulty.py").write_text(fault)
    install(site, "faulty-camera", {"edge_sdk.cameras": {"faulty": "faulty:Camera"}})
    sys.modules.pop("faulty", None)
    with pytest.raises(PluginError, match="plug-in faulty:Camera of faulty-camera"):
        open_plugin("edge_sdk.cameras", "faulty:1")
    assert open_plugin("edge_sdk.cameras", "arrays:frames") is not None


def test_a_name_of_two_distributions_is_refused_when_it_is_used(site: Path) -> None:
    install(site, "other-camera", {"edge_sdk.cameras": {"arrays": "other:Camera"}})
    with pytest.raises(PluginError, match=r"acme-device .* and plug-in other:Camera of other-camera"):
        open_plugin("edge_sdk.cameras", "arrays:frames")
    assert open_plugin("edge_sdk.cameras", "usb:1") is None


@pytest.mark.usefixtures("site")
def test_a_built_in_name_is_never_a_plugin() -> None:
    assert open_plugin("edge_sdk.cameras", "arrays:frames", reserved=("arrays",)) is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"slot_type": 3}, "a slot_type in 32768..65535, found 3"),
        ({"level": 9}, "a level in 0..4, found 9"),
        ({"name": None}, "a name"),
        ({"secret": None}, "a method secret"),
    ],
)
def test_a_key_provider_must_fit_the_protocol(members: dict[str, object], message: str) -> None:
    values = {
        "slot_type": 40000,
        "level": 3,
        "name": "token",
        "new_parameters": lambda self, random: b"",
        "secret": lambda self, parameters: bytes(32),
    }
    checked_provider(type("Token", (), values)())
    with pytest.raises(PluginError, match=f"key provider Token: expected {message}"):
        checked_provider(type("Token", (), {**values, **members})())


@pytest.mark.parametrize("secret", [b"", bytes(31), "text", None])
def test_a_short_secret_seals_nothing(site: Path, tmp_path: Path, secret: object) -> None:
    key = type(
        "Token",
        (),
        {
            "slot_type": 40000,
            "level": 3,
            "name": "token",
            "new_parameters": lambda self, random: b"",
            "secret": lambda self, parameters: secret,
        },
    )()
    with pytest.raises(GalleryError, match="expected a secret of 32 bytes or more"):
        Gallery.create(tmp_path / "home.gallery", key=key, model_id=bytes(32), dimension=8)
    assert not list(tmp_path.glob("home.*"))


def test_a_conflicting_key_plugin_does_not_block_a_key_file(
    edge_sdk: Callable[..., subprocess.CompletedProcess[str]],
    site: Path,
    golden_model_path: Path,
    products: list[Product],
) -> None:
    install(site, "conflict", {"edge_sdk.keys": {"host": "none:Key", "acme-token": "none:Key"}})
    files = ["--model", golden_model_path, "--gallery", "home.gallery", "--key", "home.key"]
    done = edge_sdk("enrol", "oat", products[0].enrol, *files)
    assert done.returncode == 0, done.stderr
    refused = edge_sdk("gallery", "list", "--gallery", "home.gallery", "--key", "acme-token:1")
    assert refused.returncode == 3 and "have the same name 'acme-token'" in refused.stderr


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


def pictures_at_head_rest(product: Product, folder: Path) -> list[np.ndarray]:
    """Return four pictures whose face is where rest.json in the folder places it for the detector."""
    landmarks = [[276, 182], [336, 182], [306, 212], [282, 240], [330, 240]]
    (folder / "rest.json").write_text(json.dumps({"box": [200, 80, 192, 192], "landmarks": landmarks}))
    # Enrolment refuses pictures without detail at the eyes and the mouth, so the product gets a fine texture.
    texture = np.random.default_rng(0).normal(0, 25, (96, 96, 1))
    crop = np.clip(read_image(product.enrol) + texture, 0, 255)
    pictures = []
    for number in range(4):
        picture = np.full((240, 320, 3), 96 + number, np.uint8)
        picture[40 : 40 + 96, 100 : 100 + 96] = crop
        pictures.append(np.kron(picture, np.ones((2, 2, 1), np.uint8)))
    return pictures


def test_a_camera_and_a_detector_enrol_and_watch(
    edge_sdk: Callable[..., subprocess.CompletedProcess[str]],
    golden_model_path: Path,
    products: list[Product],
    tmp_path: Path,
) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, picture in enumerate(pictures_at_head_rest(products[0], tmp_path)):
        np.save(frames / f"{number}.npy", picture)
    files = ["--model", golden_model_path, "--gallery", "home.gallery", "--key", "acme-token:token"]
    (tmp_path / "token").write_text("5a" * 32)
    seen = ["--camera", "arrays:frames", "--detector", "head-rest:rest.json"]
    assert edge_sdk("gallery", "create", *files).returncode == 0
    done = edge_sdk("face", "enrol", "oat", *seen, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    done = edge_sdk("face", "watch", *seen, *files, "--threshold", "0.9", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[0])["subject"] == "oat"


@pytest.mark.parametrize("camera", [False, True], ids=["photographs", "camera"])
def test_an_enrolment_names_the_photographs_that_it_does_not_use(
    edge_sdk: Callable[..., subprocess.CompletedProcess[str]],
    golden_model_path: Path,
    products: list[Product],
    tmp_path: Path,
    camera: bool,
) -> None:
    first, *others = pictures_at_head_rest(products[0], tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, picture in enumerate([first, first, *others]):
        Image.fromarray(picture).save(photos / f"{number}.png")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no image")
    paths = [damaged, *sorted(photos.iterdir())]
    source = ["--camera", photos] if camera else paths
    files = ["--model", golden_model_path, "--gallery", "home.gallery", "--key", "acme-token:token"]
    (tmp_path / "token").write_text("5a" * 32)
    assert edge_sdk("gallery", "create", *files).returncode == 0
    enrol = ["--detector", "head-rest:rest.json", "--allow-duplicate", *files]
    done = edge_sdk("face", "enrol", "ann", *source, *enrol)
    assert done.returncode == 0, done.stderr
    reason = "identical to an earlier image: take each image separately"
    picture = "1 picture" if camera else paths[2]
    assert done.stdout.splitlines()[1:] == [f"{picture} not used: {reason}"]
    done = edge_sdk("face", "enrol", "bob", *source, *enrol, "--json")
    assert done.returncode == 0, done.stderr
    refused = {"picture": 2} if camera else {"image": str(paths[2])}
    assert json.loads(done.stdout)["refused"] == [{**refused, "reason": reason}]
