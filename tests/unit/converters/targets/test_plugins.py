"""Targets of installed plug-ins, with the example in tests/plugins/acme_npu as a distribution on sys.path."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
import tomllib

from converters.cli import main
from converters.pipeline.convert import convert
from converters.pipeline.options import ConversionOptions
from converters.targets import ENTRY_POINT_GROUP, targets
from edge_sdk.errors import PluginError
from edge_sdk.model.model_file import ModelFile
from edge_sdk.plugins import PluginWarning
from tests.networks import CONTRACT, to_convert
from tests.operator_networks import one_operator

EXAMPLE = Path(__file__).parents[3] / "plugins" / "acme_npu"
BUILT_IN = ["cpu", "edgetpu", "ethos-u", "mobile", "microcontroller"]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path for distributions; modules imported from it are removed afterwards."""
    assert not entry_points(group=ENTRY_POINT_GROUP), "uninstall target plug-ins to run this test"
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


def install(site: Path, distribution: str, **plugins: str) -> None:
    """Write the metadata of a distribution with entry points: name -> ``module:attribute``."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in plugins.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *lines, ""]))


@pytest.fixture
def example(site: Path) -> None:
    """The example, installed as its pyproject.toml declares it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copy(EXAMPLE / "acme_npu.py", site)
    install(site, project["name"], **project["entry-points"][ENTRY_POINT_GROUP])


@pytest.mark.usefixtures("example")
def test_a_plugin_is_listed_after_the_built_in_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(targets()) == [*BUILT_IN, "acme-npu"]
    assert "acme_npu" not in sys.modules, "a plug-in is imported only when it is used"
    assert main(["targets"]) == 0
    assert "acme-npu         the NPU of Acme's door controller" in capsys.readouterr().out


@pytest.mark.usefixtures("example")
def test_a_model_is_converted_for_a_plugin(tmp_path: Path) -> None:
    network, images = to_convert(tmp_path)
    result = convert(ConversionOptions(network, CONTRACT, images, tmp_path / "out", targets=("acme-npu",)))
    assert [report.target for report in result.targets] == ["acme-npu"]
    assert ModelFile.open(tmp_path / "out" / "tiny.acme_npu_int8.tflite").card.target == "acme-npu"


@pytest.mark.usefixtures("example")
def test_the_rules_of_a_plugin_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(one_operator("prelu", np.int8).data)
    assert main(["lint", str(path), "--target", "acme-npu"]) == 1
    assert "refused (operators-on-the-npu): PRELU: unsupported operator" in capsys.readouterr().out


def test_a_plugin_that_cannot_be_imported_affects_only_its_own_target(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "broken_npu.py").write_text("raise RuntimeError('no driver')\n")
    install(site, "broken-npu-target", **{"broken-npu": "broken_npu:TARGET"})
    path = tmp_path / "network.tflite"
    path.write_bytes(one_operator("add", np.int8).data)
    assert main(["lint", str(path), "--target", "cpu"]) == 0
    capsys.readouterr()
    assert main(["lint", str(path), "--target", "broken-npu"]) == 3
    message = capsys.readouterr().err
    assert "plug-in broken_npu:TARGET of broken-npu-target (edge_convert.targets) cannot be loaded" in message
    assert "RuntimeError: no driver" in message
    assert "hint: reinstall or update the plug-in" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("TARGET = 'npu'", "found str"),
        ("from converters.targets.cpu.target import TARGET", "found the target 'cpu'"),
        ("", "cannot be loaded: AttributeError"),
    ],
)
def test_a_plugin_must_be_a_target_of_that_name(site: Path, content: str, message: str) -> None:
    (site / "odd_npu.py").write_text(content + "\n")
    install(site, "odd-npu-target", **{"odd-npu": "odd_npu:TARGET"})
    with pytest.raises(PluginError, match=message):
        targets()["odd-npu"]


def test_a_plugin_cannot_replace_a_built_in_target(site: Path) -> None:
    install(site, "fast-cpu", cpu="fast_cpu:TARGET")
    assert list(targets()) == BUILT_IN


def test_a_broken_plugin_is_left_out_of_lists(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "broken-npu-target", **{"broken-npu": "no_such_module:TARGET"})
    path = tmp_path / "network.tflite"
    path.write_bytes(one_operator("add", np.int8).data)
    with pytest.warns(PluginWarning, match="no_such_module:TARGET of broken-npu-target"):
        assert main(["targets", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == BUILT_IN
    with pytest.warns(PluginWarning):
        assert main(["lint", str(path)]) in (0, 1)
