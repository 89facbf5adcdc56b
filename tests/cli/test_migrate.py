"""Captures are switched on, stored with a consent, and give a gallery of another model; all from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.door.installation import ENVIRONMENT, Installation
from edge_sdk.gallery.migration.space_map import pack_map
from edge_sdk.kit import KitFile
from edge_sdk.vision.embedder import Embedder
from tests.cli.conftest import Home
from tests.conftest import Outcome, Product, build_model, evidence
from tests.kits import make_kit, proven_points
from tests.unit.edge_sdk.gallery.migration.test_migration import identity_map

Run = Callable[..., Outcome]
POINTS = (evidence(), evidence(threshold=0.9, fmr=1e-2))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in ((0, "old"), (5, "new")):
        (folder / f"{name}.tflite").write_bytes(build_model(seed=seed, operating_points=POINTS))
    return folder / "old.tflite", folder / "new.tflite"


@pytest.fixture
def storing(tmp_path: Path, models: tuple[Path, Path], products: list[Product], edge_sdk: Run) -> Home:
    """A gallery in which alice has captures and bob has none."""
    home = Home(tmp_path, models[0])
    done = edge_sdk("gallery", "create", *home.all)
    assert done.code == 0
    key = tmp_path / "captures.key"
    done = edge_sdk("gallery", "captures-key", key)
    assert done.out == f"made {key} (private: keep it away from the device) and {key}.pub (for the device)\n"
    done = edge_sdk("gallery", "captures", *home.files)
    assert done.out == "captures: off\n"
    done = edge_sdk("enrol", "alice", products[0].enrol, "--store-captures", "form 12", *home.all)
    assert (done.code, done.err.splitlines()[0]) == (
        3,
        "edge-sdk: error: this gallery does not store captures",
    )
    done = edge_sdk("gallery", "captures", "--recipient", f"{key}.pub", *home.files)
    assert done.err == (
        f"edge-sdk: warning: the private key {key} is in the same folder as the public one: take it away from this device\n"
    )
    assert done.out.startswith("captures: on, sealed for the key ")
    done = edge_sdk("enrol", "alice", products[0].enrol, "--store-captures", "form 12", *home.all)
    assert done.code == 0
    assert edge_sdk("enrol", "bob", products[1].enrol, *home.all).code == 0
    return home


def test_the_whole_way_to_another_model(
    storing: Home, models: tuple[Path, Path], products: list[Product], edge_sdk: Run
) -> None:
    key, new = storing.folder / "captures.key", models[1]
    done = edge_sdk("gallery", "captures", *storing.files)
    assert done.out.splitlines()[1:] == ["alice\t1 capture", "bob\tno captures"]
    change = ("gallery", "migrate", "--model", new, "--captures-key", key, *storing.files)
    done = edge_sdk(*change)
    assert done.code == 3
    assert done.err == (
        "edge-sdk: error: no captures are stored of 'bob'\n"
        "edge-sdk: hint: remove them from the gallery with --leave-out bob, and enrol them again afterwards\n"
    )
    done = edge_sdk(*change, "--leave-out", "bob")
    assert done.out == (
        "changed to the new model by captures: 1 subject with 1 template\n"
        "left out: bob\n"
        "take the private key of the captures away from this device: it opens the stored faces\n"
        "next: put the new model file in place and restart the door; if it works, edge-sdk gallery migrate --confirm,"
        " otherwise --undo\n"
    )
    done = edge_sdk("identify", products[0].enrol, "--model", models[0], "--threshold", "0.9", *storing.files)
    assert done.code == 3
    assert (
        "hint: use the new model's file, or return to the earlier model with edge-sdk gallery migrate"
        in done.err
    )
    done = edge_sdk("identify", products[0].enrol, "--model", new, "--threshold", "0.9", *storing.files)
    assert done.out.endswith("accepted as alice\n")
    done = edge_sdk("gallery", "migrate", *storing.files)
    assert done.out.startswith("the change from model ")
    done = edge_sdk("gallery", "migrate", "--undo", *storing.files)
    assert done.out.startswith("undone: the gallery holds templates of model ")
    assert len(json.loads(edge_sdk("gallery", "list", "--json", *storing.files).out)) == 2
    assert edge_sdk(*change, "--leave-out", "bob", "--json").code == 0
    done = edge_sdk("gallery", "migrate", "--confirm", *storing.files)
    assert done.out == "confirmed: the new model is kept, the state before is removed\n"
    done = edge_sdk("gallery", "migrate", *storing.files)
    assert done.out == "no change of the model waits for confirmation\n"
    log = edge_sdk("gallery", "audit", *storing.files)
    assert log.code == 0
    for words in (
        "captures of enrolments may be stored",
        "captures of the enrolment stored, with consent: number of captures 1",
        "templates of another model put in place: by captures, number of subjects 1, number of subjects left out 1",
        "change of the model undone",
        "change of the model confirmed, the generation before it removed",
    ):
        assert words in log.out
    assert edge_sdk("gallery", "verify", *storing.files).code == 0


def test_captures_are_removed_on_request(storing: Home, edge_sdk: Run) -> None:
    done = edge_sdk("gallery", "captures", "--remove", "alice", *storing.files)
    assert done.out.splitlines()[1:] == ["alice\tno captures", "bob\tno captures"]
    assert not [name for name in storing.names() if ".captures." in name]
    assert edge_sdk("gallery", "captures", "--off", *storing.files).out == "captures: off\n"


def test_a_map_that_loses_too_much_is_refused_with_the_figures(
    storing: Home, models: tuple[Path, Path], edge_sdk: Run
) -> None:
    old, new = (Embedder.open(model) for model in models)
    path = storing.folder / "new.edgemap"
    path.write_bytes(pack_map(identity_map(old, new, mapped_fnmr=0.094)))
    done = edge_sdk("gallery", "migrate", "--model", models[1], "--map", path, *storing.files)
    assert done.code == 3
    assert "the map loses 7.40 points of FNMR at FMR 0.001, at most 1 is allowed" in done.err
    assert "9.40 % with mapped templates, 2.00 % with the new network's own" in done.err
    path.write_bytes(pack_map(identity_map(old, new)))
    done = edge_sdk("gallery", "migrate", "--model", models[1], "--map", path, *storing.files)
    assert done.out.startswith("changed to the new model by map: 2 subjects with 2 templates\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--captures-key", "captures.key"),
        ("--leave-out", "bob"),
        ("--model", "new.tflite"),
        ("--model", "new.tflite", "--undo"),
        ("--confirm", "--undo"),
        ("--model", "new.tflite", "--captures-key", "captures.key", "--map", "new.edgemap"),
    ],
)
def test_options_that_contradict_each_other_are_usage_errors(
    home: Any, edge_sdk: Run, options: tuple[str, ...]
) -> None:
    assert edge_sdk("gallery", "migrate", *options, *home.files).code == 2


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory, make_evidence: Callable[..., Any]) -> tuple[Path, Path]:
    """Kits of two networks, each with a detector and liveness networks of its own."""
    folder = tmp_path_factory.mktemp("kits")
    points = proven_points(make_evidence)
    models = [build_model(seed=seed, golden=True, operating_points=points) for seed in (0, 5)]
    return (
        make_kit(folder / "old.edgekit", models[0]).path,
        make_kit(folder / "new.edgekit", models[1], version="2", seed=3).path,
    )


@pytest.fixture
def door(
    tmp_path: Path, kits: tuple[Path, Path], products: list[Product], edge_sdk: Run, monkeypatch: Any
) -> Path:
    """An installation of the old kit, in which alice has captures and bob has none; the captures' key is beside it."""
    folder = tmp_path / "door"
    monkeypatch.setenv(ENVIRONMENT, str(folder))
    assert edge_sdk("setup", kits[0], "--door", "--accept-licences", "--camera", tmp_path).code == 0
    assert edge_sdk("enrol", "bob", products[1].enrol).code == 0
    key = tmp_path / "captures.key"
    edge_sdk("gallery", "captures-key", key)
    edge_sdk("gallery", "captures", "--recipient", f"{key}.pub")
    assert edge_sdk("enrol", "alice", products[0].enrol, "--store-captures", "form 12").code == 0
    return folder


def command_in(err: str, name: str) -> list[str]:
    """Return the arguments of the command that a hint names, without `edge-sdk`."""
    (line,) = [line for line in err.splitlines() if "hint:" in line]
    return line[line.index(f"edge-sdk {name}") :].split(",")[0].split(";")[0].split()[1:]


def test_an_installation_moves_to_another_network_and_back(
    door: Path, kits: tuple[Path, Path], products: list[Product], edge_sdk: Run, monkeypatch: Any
) -> None:
    monkeypatch.chdir(door.parent)
    files = {path: path.read_bytes() for path in door.iterdir() if path.suffix in (".tflite", ".json")}
    refused = edge_sdk("setup", kits[1], "--accept-licences")
    assert refused.code == 3
    assert "captures of 1 of 2 people are stored" in refused.err
    assert "those who are left out enrol again" in refused.err
    migrate = command_in(refused.err, "gallery migrate")
    assert migrate[-2:] == ["--leave-out", "bob"]
    changed = edge_sdk(*migrate)
    assert f"next: edge-sdk setup {kits[1]} and restart the door" in changed.out
    # Between the two commands the door answers nobody, and doctor says what is missing.
    ill = edge_sdk("doctor")
    assert ill.code == 1
    assert "install the kit of the new network: edge-sdk setup NEW.edgekit" in ill.out
    assert "damaged" not in ill.out
    early = edge_sdk("gallery", "migrate", "--confirm")
    assert (early.code, "nothing was confirmed" in early.err, "edge-sdk setup KIT" in early.err) == (
        3,
        True,
        True,
    )
    again = edge_sdk("setup", kits[0])
    assert "a change of the gallery's model waits" in again.err
    done = edge_sdk("setup", kits[1], "--accept-licences")
    assert done.code == 0, done.out + done.err
    assert "earlier networks kept in before" in done.out
    assert (
        "next: restart the door and try it with some people; then edge-sdk gallery migrate --confirm"
        in done.out
    )
    well = edge_sdk("doctor")
    assert well.code == 0
    assert "gallery's change of model" in well.out
    assert edge_sdk("setup", kits[1]).code == 0
    assert edge_sdk("identify", products[0].enrol).out.endswith("accepted as alice\n")
    undone = edge_sdk("gallery", "migrate", "--undo")
    assert "kit face 1 is installed again" in undone.out
    assert {path: path.read_bytes() for path in files} == files
    assert not (door / "before").exists()
    assert edge_sdk("doctor").code == 0
    assert edge_sdk("identify", products[1].enrol).out.endswith("accepted as bob\n")


def test_an_undo_that_was_interrupted_puts_the_networks_back(
    door: Path, kits: tuple[Path, Path], edge_sdk: Run
) -> None:
    key = door.parent / "captures.key"
    change = ("gallery", "migrate", "--kit", kits[1], "--captures-key", key, "--leave-out", "bob")
    assert edge_sdk(*change).code == 0
    assert edge_sdk("setup", kits[1], "--accept-licences").code == 0
    installation = Installation.read(door)
    installation.open_gallery(model_id=None).migration.undo()
    assert edge_sdk("doctor").code == 1
    assert "kit face 1 is installed again" in edge_sdk("gallery", "migrate", "--undo").out
    assert edge_sdk("doctor").code == 0
    # Confirmed: the earlier networks are removed.
    assert edge_sdk(*change).code == 0
    assert edge_sdk("setup", kits[1], "--accept-licences").code == 0
    assert edge_sdk("gallery", "migrate", "--confirm").code == 0
    assert not (door / "before").exists()
    assert "edge-sdk: error" in edge_sdk("gallery", "migrate", "--undo").err
    assert edge_sdk("doctor").code == 0


def test_networks_kept_for_a_change_that_an_erasure_confirmed_are_not_put_back(
    door: Path, kits: tuple[Path, Path], edge_sdk: Run
) -> None:
    key = door.parent / "captures.key"
    assert (
        edge_sdk("gallery", "migrate", "--kit", kits[1], "--captures-key", key, "--leave-out", "bob").code
        == 0
    )
    assert edge_sdk("setup", kits[1], "--accept-licences").code == 0
    assert edge_sdk("gallery", "erase", "alice").code == 0
    assert (door / "before").exists()
    refused = edge_sdk("gallery", "migrate", "--undo")
    assert (refused.code, "no change of the model waits" in refused.err) == (3, True)
    assert edge_sdk("doctor").code == 0
    assert edge_sdk("setup", kits[1]).code == 0
    assert not (door / "before").exists()


def test_a_network_that_was_replaced_by_hand_is_not_called_damaged(
    door: Path, kits: tuple[Path, Path], edge_sdk: Run
) -> None:
    kit, model = KitFile.open(kits[1]), door / "face.tflite"
    model.chmod(0o600)
    model.write_bytes(kit.read(kit.manifest.embedder))
    done = edge_sdk("doctor")
    assert "a complete model file of another kit" in done.out
    assert "damaged" not in done.out


def test_without_captures_the_hint_names_a_map_and_another_folder(
    door: Path, kits: tuple[Path, Path], edge_sdk: Run
) -> None:
    assert edge_sdk("gallery", "captures", "--off").code == 0
    refused = edge_sdk("setup", kits[1], "--accept-licences")
    assert "no captures are stored" in refused.err
    assert command_in(refused.err, "setup")[1:] == [str(kits[1]), "--installation", "FOLDER"]
