"""Source plug-ins are recognized and converted, with the example in tests/plugins/acme_source as the plug-in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.errors import SourceError
from converters.sources.kinds import recognize
from converters.sources.read import read_source
from edge_sdk.errors import PluginError
from edge_sdk.model.card import InputContract

EXAMPLE = Path(__file__).parents[3] / "plugins" / "acme_source"
CONTRACT = InputContract(16, 16, "rgb", (127.5,) * 3, (128.0,) * 3)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path, also of child processes, in which the example is installed."""
    folder = tmp_path / "site"
    info = folder / "acme_source-1.0.dist-info"
    info.mkdir(parents=True)
    shutil.copy(EXAMPLE / "acme_source.py", folder)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-source\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edge_convert.sources]\nacme-projection = acme_source\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.delitem(sys.modules, "acme_source", raising=False)
    return folder


def inputs(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 16, 16, 3)).astype(np.float32)


def test_a_plugin_reads_a_file_of_its_kind(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "face.npz"
    projection = np.random.default_rng(1).normal(size=(24, 16 * 16 * 3)).astype(np.float32)
    np.savez(file, projection=projection)
    assert recognize(file) == "acme-projection"
    source = read_source(file, contract=CONTRACT, inputs=inputs())
    assert source.kind == "acme-projection" and source.tools == {"numpy": np.__version__}
    np.testing.assert_allclose(source.witness, inputs().reshape(3, -1) @ projection.T, rtol=1e-5)
    assert source.network.graph.operator_counts() == {"RESHAPE": 1, "FULLY_CONNECTED": 1}


@pytest.mark.usefixtures("site")
def test_other_files_stay_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(SourceError):
        recognize(tmp_path / "other.npz")
    with pytest.raises(SourceError, match="no such file"):
        recognize(tmp_path / "missing.npz")


def test_an_error_in_the_plugin_is_reported(site: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", projection=np.zeros(5))
    with pytest.raises(SourceError, match="reading the projection failed: ValueError"):
        read_source(tmp_path / "flat.npz", contract=CONTRACT, inputs=inputs())


def test_a_broken_plugin_does_not_affect_built_in_kinds(site: Path, tmp_path: Path) -> None:
    (site / "acme_source.py").write_text("import no_such_module\n")
    (tmp_path / "network.tflite").write_bytes(b"\0\0\0\0TFL3" + bytes(64))
    assert recognize(tmp_path / "network.tflite") == "tflite"
    (tmp_path / "text.bin").write_text("text")
    with pytest.raises(PluginError, match="acme_source of acme-source"):
        recognize(tmp_path / "text.bin")
