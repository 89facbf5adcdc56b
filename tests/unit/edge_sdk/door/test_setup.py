"""Installing a kit gives everything that a door needs or changes nothing, also if it is interrupted anywhere."""

from __future__ import annotations

import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sdk.door.installation import FILE_NAME, Installation
from edge_sdk.door.licences import LicencesRefusedError, LicenceTerms
from edge_sdk.door.setup import SetupOptions, SetupResult, set_up
from edge_sdk.errors import EdgeSdkError, InputError, ModelCardError, ModelMismatchError, SealError
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery, KeyFile, Passphrase
from edge_sdk.kit import KitFile, write_kit
from edge_sdk.model.model_file import ModelFile
from edge_sdk.vision.embedder import Embedder
from tests.kits import make_kit, proven_points

DOOR = SetupOptions(door=True)


#: Changes of the file system after which a child process dies: every tenth, or every single one.
EVERY_STEP = pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])


def accepted(terms: LicenceTerms) -> bool:
    return True


def refused(terms: LicenceTerms) -> bool:
    return False


@pytest.fixture(scope="module")
def models(make_model: Callable[..., bytes], make_evidence: Callable[..., Any]) -> dict[str, bytes]:
    """An embedder; the same with new evidence; and another one."""
    return {
        "first": make_model(operating_points=proven_points(make_evidence)),
        "renewed": make_model(operating_points=proven_points(make_evidence, threshold=0.9)),
        "other": make_model(seed=1, operating_points=proven_points(make_evidence)),
        "bare": make_model(),
    }


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory, models: dict[str, bytes]) -> dict[str, KitFile]:
    folder = tmp_path_factory.mktemp("kits")
    kits = {name: make_kit(folder / f"{name}.edgekit", model) for name, model in models.items()}
    kits["products"] = make_kit(
        folder / "products.edgekit", models["first"], detector=False, liveness=0, licence=""
    )
    kits["no liveness"] = make_kit(folder / "plain.edgekit", models["first"], liveness=0)
    return kits


def install(kit: KitFile, folder: Path, options: SetupOptions = DOOR, **changes: Any) -> SetupResult:
    return set_up(kit, replace(options, folder=folder, **changes), accept=accepted)


def open_gallery(installation: Installation) -> Gallery:
    anchor = None if installation.anchor is None else FileAnchor(installation.anchor)
    model_id = ModelFile.open(installation.model).model_id
    return Gallery.open(installation.gallery, key=KeyFile(installation.key), model_id=model_id, anchor=anchor)


def enrol(installation: Installation, name: str = "alice") -> None:
    embedder = Embedder.open(installation.model)
    crop = np.random.default_rng(len(name)).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    open_gallery(installation).enrol(name, embedder.embed(crop)[None])


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_door_gets_everything(kits: dict[str, KitFile], tmp_path: Path) -> None:
    folder = tmp_path / "door"
    result = install(kits["first"], folder)
    installation = Installation.read(folder)
    assert result.installation == installation
    status = open_gallery(installation).status()
    assert status.has_policy
    assert status.has_attempt_limit
    assert status.pad
    assert status.anchor.startswith("file")
    assert status.networks is not None
    assert "liveness" in status.networks
    assert installation.door
    assert installation.kit.sha256 == kits["first"].sha256
    assert result.limits[0].startswith("of 100 strangers who press the button once, at most about 1 gets in")
    assert result.limits[-1].startswith("after 10 failed presses in a row everybody waits 30 s")
    assert result.not_covered == ("not measured on your camera",)
    assert (folder / "kit" / "licence.txt").read_text() == "You may use it.\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    for network in installation.networks:
        assert (folder / network.file).stat().st_mode & 0o777 == 0o400
    assert installation.open_recognizer().gallery.policy is not None


def test_the_same_kit_again_changes_nothing(kits: dict[str, KitFile], tmp_path: Path) -> None:
    enrol(install(kits["first"], tmp_path, camera=str(tmp_path), rotate=90).installation)
    before = snapshot(tmp_path)
    again = set_up(kits["first"], replace(DOOR, folder=tmp_path), accept=refused)
    assert again.changes == ()
    assert snapshot(tmp_path) == before
    assert (again.installation.camera, again.installation.rotate) == (str(tmp_path), 90)
    # Without --door, a door stays one.
    assert set_up(kits["first"], SetupOptions(folder=tmp_path), accept=refused).installation.door


def test_without_door_there_is_no_policy_and_no_limit(kits: dict[str, KitFile], tmp_path: Path) -> None:
    result = install(kits["products"], tmp_path / "p", SetupOptions())
    status = open_gallery(result.installation).status()
    assert not status.has_policy
    assert not status.has_attempt_limit
    assert status.anchor.startswith("file")
    assert result.limits == ()
    later = install(kits["first"], tmp_path / "q", SetupOptions())
    door = install(kits["first"], tmp_path / "q")
    assert open_gallery(later.installation).status().has_policy
    assert "decision policy, FPIR 0.01 stored" in door.changes


def test_new_evidence_renews_network_and_policy(kits: dict[str, KitFile], tmp_path: Path) -> None:
    enrol(install(kits["first"], tmp_path).installation)
    result = set_up(kits["renewed"], replace(DOOR, folder=tmp_path), accept=refused)
    gallery = open_gallery(result.installation)
    assert [subject.name for subject in gallery.subjects()] == ["alice"]
    assert gallery.policy is not None
    assert gallery.policy.operating_points[0].threshold == pytest.approx(0.9)
    gallery.require_evidence(ModelFile.open(result.installation.model).model_id.evidence)
    assert "networks written: face.tflite" in result.changes


def test_what_an_administrator_stored_is_kept(kits: dict[str, KitFile], tmp_path: Path) -> None:
    gallery = open_gallery(install(kits["first"], tmp_path).installation)
    stored = gallery.policy
    assert stored is not None
    with gallery.transaction() as transaction:
        transaction.set_policy(replace(stored, fpir=0.02, margin=0.1))
        transaction.limit_attempts(AttemptPolicy(free=3, most=7))
    result = install(kits["renewed"], tmp_path)
    renewed = open_gallery(result.installation)
    assert renewed.policy is not None
    assert (renewed.policy.fpir, renewed.policy.margin) == (0.02, 0.1)
    assert result.limits[-1].startswith("after 3 failed presses")
    assert install(kits["renewed"], tmp_path, fpir=0.05).changes == ("decision policy, FPIR 0.05 stored",)


def test_another_network_with_enrolled_people_is_refused(kits: dict[str, KitFile], tmp_path: Path) -> None:
    enrol(install(kits["first"], tmp_path).installation)
    before = snapshot(tmp_path)
    with pytest.raises(ModelMismatchError, match="enrolled: 1") as caught:
        install(kits["other"], tmp_path)
    assert "edge-sdk gallery migrate" in str(caught.value.hint)
    assert snapshot(tmp_path) == before


def test_another_network_replaces_an_empty_gallery_and_keeps_its_files(
    kits: dict[str, KitFile], tmp_path: Path
) -> None:
    first = open_gallery(install(kits["first"], tmp_path).installation).status().gallery_id
    result = install(kits["other"], tmp_path)
    second = open_gallery(result.installation).status()
    assert second.gallery_id != first
    assert second.has_policy
    (earlier,) = tmp_path.glob("earlier-*")
    assert (earlier / "home.gallery").exists()
    assert (earlier / "home.gallery.audit").exists()


def test_evidence_that_supports_no_policy_gives_no_door(kits: dict[str, KitFile], tmp_path: Path) -> None:
    folder = tmp_path / "door"
    with pytest.raises(ModelCardError, match="supports no decision policy"):
        install(kits["bare"], folder)
    assert not folder.exists()
    with pytest.raises(ModelCardError, match="suffices for 0 templates"):
        install(kits["first"], folder, fpir=1e-6)
    assert not folder.exists()
    assert not install(kits["bare"], folder, SetupOptions()).installation.door


def test_licences_are_accepted_once(
    kits: dict[str, KitFile], models: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "door"
    shown: list[LicenceTerms] = []

    def accept(terms: LicenceTerms) -> bool:
        shown.append(terms)
        return True

    with pytest.raises(LicencesRefusedError):
        set_up(kits["first"], replace(DOOR, folder=folder), accept=refused)
    assert not folder.exists()
    for kit in ("first", "first", "renewed"):
        set_up(kits[kit], replace(DOOR, folder=folder), accept=accept)
    assert len(shown) == 1
    assert shown[0].lines[0] == "face.tflite: Apache-2.0"
    record = Installation.read(folder).accepted
    assert record is not None
    assert record.terms_sha256 == shown[0].sha256
    other = make_kit(tmp_path / "k", models["first"], licence="MIT")
    set_up(other, replace(DOOR, folder=folder), accept=accept)
    assert len(shown) == 2


def test_limits_are_stricter_without_liveness_networks(kits: dict[str, KitFile], tmp_path: Path) -> None:
    result = install(kits["no liveness"], tmp_path / "a")
    assert result.limits[-1].startswith("after 5 failed presses")
    install(kits["first"], tmp_path / "b")
    assert install(kits["no liveness"], tmp_path / "b").limits[-1].startswith("after 5 failed presses")
    assert not (tmp_path / "b" / "pad_0.tflite").exists()


@pytest.mark.parametrize(
    ("kit", "changes", "message"),
    [
        ("products", {"door": True}, "expected a kit with a face detector"),
        ("first", {"fpir": 0.1}, "expected a door lock"),
        ("first", {"camera": "no-such-camera"}, "expected a camera"),
        ("first", {"rotate": 45}, "expected a turn of 0, 90, 180 or 270"),
        ("first", {"door": True, "fpir": 2.0}, "expected FPIR above 0"),
    ],
)
def test_options_that_contradict_each_other_change_nothing(
    kits: dict[str, KitFile], tmp_path: Path, kit: str, changes: dict[str, Any], message: str
) -> None:
    folder = tmp_path / "door"
    with pytest.raises(InputError, match=message):
        install(kits[kit], folder, SetupOptions(), **changes)
    assert not (folder / FILE_NAME).exists()
    assert not (folder / "home.gallery").exists()


def test_a_folder_with_other_files_is_refused(kits: dict[str, KitFile], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match="found other files"):
        install(kits["first"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_manual_installation_is_taken_over(
    kits: dict[str, KitFile], models: dict[str, bytes], tmp_path: Path
) -> None:
    model = ModelFile.parse(models["first"], "face.tflite")
    key = Passphrase("a long phrase of seven quiet words")
    gallery = Gallery.create(
        tmp_path / "home.gallery", key=key, model_id=model.model_id, dimension=model.card.dimension
    )
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(model.card.operating_points, fpir=0.02))
    gallery_id = gallery.status().gallery_id
    options = SetupOptions(folder=tmp_path, door=True, key="passphrase")
    with pytest.raises(SealError):
        set_up(kits["first"], options, accept=accepted, passphrase=lambda _: "another phrase of many words")
    assert not (tmp_path / FILE_NAME).exists()
    result = set_up(
        kits["first"], options, accept=accepted, passphrase=lambda _: "a long phrase of seven quiet words"
    )
    assert (result.installation.key, result.installation.anchor) == ("passphrase", None)
    status = Gallery.open(tmp_path / "home.gallery", key=key, model_id=model.model_id).status()
    assert (status.gallery_id, status.has_attempt_limit) == (gallery_id, True)
    assert "FPIR" not in " ".join(result.changes)
    assert not (tmp_path / "home.key").exists()


def test_a_damaged_installation_file_is_written_anew(kits: dict[str, KitFile], tmp_path: Path) -> None:
    enrol(install(kits["first"], tmp_path).installation)
    (tmp_path / FILE_NAME).write_text("{")
    result = install(kits["first"], tmp_path)
    assert [subject.name for subject in open_gallery(result.installation).subjects()] == ["alice"]


def test_files_named_as_networks_by_an_edited_installation_stay(
    kits: dict[str, KitFile], tmp_path: Path
) -> None:
    installation = install(kits["first"], tmp_path).installation
    enrol(installation)
    value = json.loads((tmp_path / FILE_NAME).read_bytes())
    value["liveness"] = [{"file": name, "sha256": "0" * 64} for name in ("home.gallery", "home.key")]
    (tmp_path / FILE_NAME).write_text(json.dumps(value))
    result = install(kits["first"], tmp_path)
    assert [subject.name for subject in open_gallery(result.installation).subjects()] == ["alice"]


@pytest.mark.parametrize(
    "name",
    [
        "installation.json",
        "face.tflite",
        "setup.lock",
        "new/home.key",
        "kit/home.key",
        "home.gallery.audit",
        "",
    ],
)
@pytest.mark.parametrize("option", ["key", "anchor"])
def test_key_and_anchor_are_never_files_that_setup_writes(
    kits: dict[str, KitFile], tmp_path: Path, option: str, name: str
) -> None:
    folder, link = tmp_path / "door", tmp_path / "link"
    link.symlink_to(folder)
    for place in (folder, link):
        with pytest.raises(InputError, match=f"expected another file for the {option}"):
            install(kits["first"], folder, **{option: str(place / name)})
    assert not folder.exists()


def test_key_and_anchor_are_different_files(kits: dict[str, KitFile], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="different files for key and anchor"):
        install(kits["first"], tmp_path / "door", key=str(tmp_path / "a"), anchor=str(tmp_path / "a"))


@pytest.mark.parametrize("name", ["new", "kit", "anchor"])
def test_a_link_in_place_of_a_folder_is_not_followed(
    kits: dict[str, KitFile], tmp_path: Path, name: str
) -> None:
    folder, other = tmp_path / "door", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    (folder / name).symlink_to(other)
    (folder / "setup.lock").touch()
    with pytest.raises(InputError, match="found the link"):
        install(kits["first"], folder)
    assert not list(other.iterdir())


def test_a_kit_without_liveness_networks_reports_what_it_removes(
    kits: dict[str, KitFile], tmp_path: Path
) -> None:
    install(kits["first"], tmp_path)
    assert "networks removed: pad_0.tflite, pad_1.tflite" in install(kits["no liveness"], tmp_path).changes


def test_a_note_without_a_licence_has_to_be_accepted(kits: dict[str, KitFile], tmp_path: Path) -> None:
    plain, path = kits["products"], tmp_path / "noted.edgekit"
    member = replace(plain.manifest.embedder, licence_note="not for sale")
    content = {member.file: plain.read(member)}
    kit = write_kit(path, replace(plain.manifest, members=(member,)), content)
    with pytest.raises(LicencesRefusedError):
        set_up(kit, SetupOptions(folder=tmp_path / "door"), accept=refused)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_what_root_installs_belongs_to_the_owner_of_the_folder(
    kits: dict[str, KitFile], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 1234)
    install(kits["first"], home / "share" / "door")
    assert {path.stat().st_uid for path in home.rglob("*")} == {1234}


def events_of(run: Callable[[], object], stop_at: int) -> int:
    """Run a function in a child process that dies before its `stop_at`-th change of the file system.

    Returns:
        Exit code of the child: 9 if it died, 0 if it ended before that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fork in a process with threads
        child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            writes = (
                event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "os.link"):
                count += 1
                if count == stop_at:
                    os._exit(9)

        sys.addaudithook(hook)
        try:
            run()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@EVERY_STEP
def test_an_interrupted_installation_is_completed_by_the_next_run(
    kits: dict[str, KitFile], tmp_path: Path, step: int
) -> None:
    stops = 0
    for stop_at in range(1, 200, step):
        folder = tmp_path / str(stop_at)
        if events_of(lambda folder=folder: install(kits["first"], folder), stop_at) == 0:  # type: ignore[misc]
            break
        stops += 1
        if (folder / FILE_NAME).exists():
            assert open_gallery(Installation.read(folder)).status().has_policy
        status = open_gallery(install(kits["first"], folder).installation).status()
        assert status.has_policy
        assert status.has_attempt_limit
        shutil.rmtree(folder)
    assert stops > 40 / step


@EVERY_STEP
def test_an_interrupted_renewal_keeps_a_policy_and_everybody(
    kits: dict[str, KitFile], tmp_path: Path, step: int
) -> None:
    stops = 0
    original = tmp_path / "original"
    enrol(install(kits["first"], original).installation)
    folder = tmp_path / "door"
    for stop_at in range(1, 200, step):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        if events_of(lambda: install(kits["renewed"], folder), stop_at) == 0:
            break
        stops += 1
        gallery = open_gallery(Installation.read(folder))
        assert gallery.policy is not None
        assert len(gallery.subjects()) == 1
        assert install(kits["renewed"], folder).limits
        assert len(open_gallery(Installation.read(folder)).subjects()) == 1
    assert stops > 20 / step


@pytest.mark.slow
def test_an_interrupted_replacement_of_an_empty_gallery_is_completed(
    kits: dict[str, KitFile], tmp_path: Path
) -> None:
    folder = tmp_path / "door"
    for stop_at in range(1, 200):
        shutil.rmtree(folder, ignore_errors=True)
        install(kits["first"], folder)
        if events_of(lambda: install(kits["other"], folder), stop_at) == 0:
            break
        gallery = open_gallery(install(kits["other"], folder).installation)
        assert gallery.policy is not None
        assert gallery.problems() == ()
    assert stop_at > 20


def test_every_error_is_one_of_the_sdk(kits: dict[str, KitFile], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeSdkError):
        install(kits["first"], tmp_path / "file" / "door")
