"""ARCHITECTURE.md, the import contracts and the packages agree about the layers."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")


def contract_layers(contract: str) -> list[list[str]]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lines = config[f"importlinter:contract:{contract}"]["layers"].split("\n")
    return [sorted(name.strip() for name in line.split("|")) for line in lines if line.strip()]


def documented_layers(package: str) -> list[list[str]]:
    """Return the layers of a package in ARCHITECTURE.md's table, from top to bottom; its first column lists modules."""
    rows = re.findall(rf"^\| ((?:`{package}[.\w]*`(?:, )?)+) \|", PAGE, re.MULTILINE)
    return [sorted(re.findall(r"`([\w.]+)`", row)) for row in rows]


@pytest.mark.parametrize(
    ("package", "contract"), [("edge_sdk", "layers"), ("converters", "pipeline"), ("edge_train", "training")]
)
def test_the_page_lists_the_layers_of_the_import_contract(package: str, contract: str) -> None:
    assert documented_layers(package) == contract_layers(contract)


@pytest.mark.parametrize(
    ("package", "contract"), [("edge_sdk", "layers"), ("converters", "pipeline"), ("edge_train", "training")]
)
def test_every_package_and_module_has_a_layer(package: str, contract: str) -> None:
    layers = {name for layer in contract_layers(contract) for name in layer}
    parts = {
        f"{package}.{path.stem}"
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.stem.startswith("_")
    }
    covered = {".".join(name.split(".")[:2]) for name in layers}
    assert parts == covered
