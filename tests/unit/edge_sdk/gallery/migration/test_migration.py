"""A gallery changes its model from stored captures or by a map, in one commit, and can return."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from converters.graph.attach_card import with_card
from edge_sdk.errors import (
    GalleryError,
    InputError,
    ModelCardError,
    ModelMismatchError,
    SealError,
    SubjectExistsError,
    SubjectUnknownError,
)
from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery
from edge_sdk.gallery.captures.crops import Crops
from edge_sdk.gallery.captures.files import captures_path, kept_path
from edge_sdk.gallery.captures.keys import CapturesKey
from edge_sdk.gallery.captures.sealed import seal_part, split_parts
from edge_sdk.gallery.migration.space_map import MapEvidence, SpaceMap
from edge_sdk.vision.embedder import Embedder
from edge_sdk.vision.images import read_image
from tests.conftest import Product, build_model, build_network, card, evidence
from tests.simulated_file_system import PowerCut, SimulatedFileSystem
from tests.unit.edge_sdk.gallery.galleries import KEY, OTHER

CAPTURES_KEY = CapturesKey(bytes(range(32)))
POINTS = (evidence(), evidence(threshold=0.9, fmr=1e-2))
NEW_POINTS = (evidence(threshold=0.97), evidence(threshold=0.92, fmr=1e-2))
NEW_DIMENSION = 48
SUBJECTS = ("ann", "bob", "cyd")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def old(folder: Path) -> Embedder:
    (folder / "old.tflite").write_bytes(build_model(operating_points=POINTS))
    return Embedder.open(folder / "old.tflite")


@pytest.fixture(scope="module")
def new(folder: Path) -> Embedder:
    """Another network with another dimension."""
    network = build_network(seed=5, dimension=NEW_DIMENSION)
    model = with_card(network, card(dimension=NEW_DIMENSION, operating_points=NEW_POINTS))
    (folder / "new.tflite").write_bytes(model)
    return Embedder.open(folder / "new.tflite")


@pytest.fixture(scope="module")
def bare(folder: Path) -> Embedder:
    """Another network whose card has no operating points."""
    (folder / "bare.tflite").write_bytes(build_model(seed=6))
    return Embedder.open(folder / "bare.tflite")


@pytest.fixture(scope="module")
def pictures(products: list[Product]) -> dict[str, list[np.ndarray]]:
    """Two pictures of each subject: the second one is slightly darker."""
    images = [read_image(product.enrol) for product in products]
    return {
        name: [image, (image.astype(np.float32) * 0.97).astype(np.uint8)]
        for name, image in zip((*SUBJECTS, "dan"), images, strict=False)
    }


def enrol(
    gallery: Gallery, embedder: Embedder, name: str, pictures: list[np.ndarray], *, store: bool = True
) -> None:
    crops = (
        Crops.received(pictures, embedder.card.input, consent=f"{name}, by word of mouth") if store else None
    )
    gallery.enrol(name, np.stack([embedder.embed(image) for image in pictures]), captures=crops)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.gallery"


@pytest.fixture
def gallery(path: Path, old: Embedder, pictures: dict[str, list[np.ndarray]]) -> Gallery:
    """An anchored gallery with a policy, a limit, captures, and bob revoked."""
    gallery = Gallery.create(
        path,
        key=KEY,
        model_id=old.model_id,
        dimension=old.dimension,
        anchor=FileAnchor(path.parent / "anchor"),
    )
    fill(gallery, old, pictures)
    return gallery


def fill(gallery: Gallery, old: Embedder, pictures: dict[str, list[np.ndarray]]) -> None:
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(POINTS, fpir=0.05, margin=0.01))
        transaction.limit_attempts(AttemptPolicy())
    gallery.captures.switch_on(CAPTURES_KEY.public)
    for name in SUBJECTS:
        enrol(gallery, old, name, pictures[name])
    gallery.change("ann", label="first floor", valid_until=4_000_000_000)
    gallery.revoke("bob")


def reopened(path: Path, embedder: Embedder | None) -> Gallery:
    model_id = None if embedder is None else embedder.model_id
    return Gallery.open(
        path, key=KEY, model_id=model_id, needs_model=False, anchor=FileAnchor(path.parent / "anchor")
    )


def answer(gallery: Gallery, embedder: Embedder, picture: np.ndarray) -> str | None:
    result = gallery.identify(embedder.embed(picture))
    return result.subject if result.accepted else None


def state_of(gallery: Gallery) -> list[tuple[object, ...]]:
    return [(s.name, s.label, s.id, s.revoked, s.valid_until_s, s.templates) for s in gallery.subjects()]


def test_captures_give_templates_of_the_new_model_and_everything_else_stays(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    before, generation = state_of(gallery), gallery.status().generation
    assert answer(gallery, old, pictures["ann"][0]) == "ann"
    result = gallery.migration.with_captures(new, CAPTURES_KEY)
    assert (result.method, result.subjects, result.templates, result.left_out) == ("captures", 3, 6, ())
    assert result.generation == generation + 1
    door = reopened(path, new)
    assert state_of(door) == before
    assert answer(door, new, pictures["ann"][0]) == "ann"
    assert answer(door, new, pictures["bob"][0]) is None, "revoked"
    assert answer(door, new, pictures["cyd"][1]) == "cyd"
    status = door.status()
    assert (status.dimension, status.model_id) == (NEW_DIMENSION, new.model_id.space.hex())
    assert door.policy is not None
    assert (door.policy.fpir, door.policy.margin) == (0.05, 0.01)
    assert {p.threshold for p in door.policy.operating_points} == {0.97, 0.92}
    assert status.has_attempt_limit
    assert door.problems() == ()
    entries = door.audit.report().entries
    written = [e.event.event for e in entries if e.generation == generation + 1]
    assert [event for event in written if event not in ("accepted", "rejected")] == ["change-model"]
    pending = door.migration.pending()
    assert pending is not None
    assert (pending.generation, pending.method) == (generation, "captures")
    gaps = " ".join(status.not_protected)
    assert "faces in stored captures" in gaps
    assert "templates of the earlier model" in gaps


def test_a_running_door_is_shut_and_says_what_to_do(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    door = reopened(path, old)
    assert answer(door, old, pictures["ann"][0]) == "ann"
    gallery.migration.with_captures(new, CAPTURES_KEY)
    for _ in range(2):
        with pytest.raises(ModelMismatchError, match="was changed to") as caught:
            answer(door, old, pictures["ann"][0])
        assert caught.value.hint == (
            "use the new model's file, or return to the earlier model with edge-sdk gallery migrate --undo"
        )
    with pytest.raises(ModelMismatchError):
        reopened(path, old)
    gallery.migration.undo()
    assert answer(door, old, pictures["ann"][0]) == "ann"
    with pytest.raises(ModelMismatchError):
        reopened(path, new)


def test_an_undone_change_keeps_revocations_and_removals_since(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    gallery.migration.with_captures(new, CAPTURES_KEY)
    gallery.revoke("ann")
    gallery.remove("cyd")
    with gallery.transaction() as transaction:
        transaction.set_policy(DecisionPolicy(NEW_POINTS, fpir=0.02, margin=0.03))
    generation = gallery.status().generation
    gallery.migration.undo()
    door = reopened(path, old)
    assert [(s.name, s.revoked) for s in door.subjects()] == [("ann", True), ("bob", True)]
    assert door.status().generation == generation + 1
    assert door.policy is not None
    assert {p.threshold for p in door.policy.operating_points} == {0.95, 0.9}
    assert (door.policy.fpir, door.policy.margin) == (0.02, 0.03), "a stricter policy stays strict"
    door.reinstate("ann")
    assert answer(door, old, pictures["ann"][1]) == "ann"
    assert not kept_path(path).exists()
    assert door.problems() == ()
    events = [e.event.event for e in door.audit.report().entries]
    assert events.index("change-model") < events.index("undo-model")
    assert door.audit.report().intact


def test_a_restore_leaves_no_faces_of_people_who_are_not_enrolled(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    gallery.captures.switch_off()
    backup, anchor = path.parent / "home.backup", FileAnchor(path.parent / "anchor")
    gallery.backup(backup)
    gallery.captures.switch_on(CAPTURES_KEY.public)
    enrol(gallery, old, "dan", pictures["dan"])
    gallery.migration.with_captures(new, CAPTURES_KEY, leave_out=SUBJECTS)
    assert len([*path.parent.glob("*.captures.*"), *path.parent.glob("*.before")]) == 2
    Gallery.restore(backup, path, key=KEY, anchor=anchor, replace=True)
    assert not [*path.parent.glob("*.captures.*"), *path.parent.glob("*.before")]
    assert reopened(path, old).problems() == ()


def test_a_confirmed_change_removes_the_generation_before(
    gallery: Gallery, path: Path, new: Embedder
) -> None:
    gallery.migration.with_captures(new, CAPTURES_KEY)
    assert kept_path(path).stat().st_mode & 0o777 == 0o600
    with pytest.raises(GalleryError, match="an earlier change of the model is not confirmed"):
        gallery.migration.with_captures(new, CAPTURES_KEY)
    receipt = gallery.backup(path.parent / "home.backup")
    assert "cannot be undone after a restore" in receipt.statement
    gallery.migration.confirm()
    assert not kept_path(path).exists()
    assert gallery.migration.pending() is None
    for step in (gallery.migration.confirm, gallery.migration.undo):
        with pytest.raises(GalleryError, match="no change of the model waits"):
            step()


def test_an_erasure_or_a_new_key_confirms_the_change(gallery: Gallery, path: Path, new: Embedder) -> None:
    gallery.migration.with_captures(new, CAPTURES_KEY)
    receipt = gallery.erase("cyd")
    assert not kept_path(path).exists(), "it holds cyd's templates"
    assert "the change of the model that waited is confirmed" in receipt.statement
    assert [e.event.event for e in gallery.audit.report().entries][-1] == "confirm-model"
    assert "confirmed" not in gallery.erase("bob").statement


def test_rotated_keys_leave_no_file_that_the_old_ones_open(
    gallery: Gallery, path: Path, new: Embedder
) -> None:
    gallery.migration.with_captures(new, CAPTURES_KEY)
    gallery.keys.rotate(OTHER)
    assert not kept_path(path).exists()
    assert gallery.migration.pending() is None


def test_subjects_without_captures_are_named_and_left_out_on_request(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    enrol(gallery, old, "dan", pictures["dan"], store=False)
    with pytest.raises(GalleryError, match="no captures are stored of 'dan'") as caught:
        gallery.migration.with_captures(new, CAPTURES_KEY)
    assert "--leave-out dan" in str(caught.value.hint)
    with pytest.raises(SubjectUnknownError):
        gallery.migration.with_captures(new, CAPTURES_KEY, leave_out=["eve"])
    result = gallery.migration.with_captures(new, CAPTURES_KEY, leave_out=["dan"])
    assert result.left_out == ("dan",)
    with pytest.raises(SubjectUnknownError) as unknown:
        gallery.erase("dan")
    assert "migrate --confirm removes its templates" in str(unknown.value.hint)
    assert [s.name for s in gallery.subjects()] == list(SUBJECTS)
    gallery.migration.undo()
    assert [s.name for s in gallery.subjects()] == [*SUBJECTS, "dan"]
    assert answer(reopened(path, old), old, pictures["dan"][0]) == "dan"


def test_a_look_with_captures_becomes_an_enrolment_without_any(
    gallery: Gallery, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    enrol(gallery, old, "dan", pictures["dan"][:1], store=False)
    further = pictures["dan"][1:]
    captures = Crops.received(further, old.card.input, consent="dan")
    embedded = np.stack([old.embed(image) for image in further])
    gallery.enrol("dan", embedded, add=True, look="later", captures=captures, allow_unlike=True)
    result = gallery.migration.with_captures(new, CAPTURES_KEY)
    assert (result.looks_left_out, result.looks_enrolled) == ((), (("dan", "later"),))
    dan = next(subject for subject in gallery.subjects() if subject.name == "dan")
    assert (dan.templates, dan.looks) == (len(further), ())


def test_looks_stay_if_their_captures_are_stored(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    darker = [(image * 0.93).astype(np.uint8) for image in pictures["ann"]]
    embedded = np.stack([old.embed(image) for image in darker])
    captures = Crops.received(darker, old.card.input, consent="ann again")
    gallery.enrol("ann", embedded[:1], add=True, look="evening", allow_unlike=True)
    gallery.enrol("ann", embedded[1:], add=True, look="night", captures=captures, allow_unlike=True)
    assert gallery.migration.with_captures(new, CAPTURES_KEY).looks_left_out == (("ann", "evening"),)
    ann = gallery.subjects()[0]
    assert ann.templates == 4
    assert [(look.name, look.templates) for look in ann.looks] == [("night", 2)]
    gallery.migration.undo()
    assert [look.name for look in gallery.subjects()[0].looks] == ["evening", "night"]
    gallery.remove_look("ann", "night")
    assert dict(gallery.captures.status().subjects)["ann"] == 2
    ann_id = bytes.fromhex(gallery.subjects()[0].id)
    assert len(split_parts(captures_path(path, ann_id).read_bytes())) == 1, (
        "the captures of the look are removed"
    )
    assert gallery.problems() == ()


@pytest.mark.parametrize("method", ["captures", "map"])
def test_a_look_removed_since_the_change_does_not_return(
    gallery: Gallery,
    path: Path,
    old: Embedder,
    new: Embedder,
    pictures: dict[str, list[np.ndarray]],
    method: str,
) -> None:
    captures = Crops.received(pictures["dan"], old.card.input, consent="by mistake")
    with gallery.transaction() as transaction:
        for name, picture, stored in (("wrong", "dan", captures), ("evening", "ann", None)):
            embedded = np.stack([old.embed((0.93 * image).astype(np.uint8)) for image in pictures[picture]])
            options = {"add": True, "look": name, "captures": stored, "allow_unlike": True}
            transaction.enrol("ann", embedded, **options)
    assert answer(gallery, old, (0.93 * pictures["dan"][0]).astype(np.uint8)) == "ann"
    if method == "map":
        gallery.migration.with_map(new, identity_map(old, new))
    else:
        gallery.migration.with_captures(new, CAPTURES_KEY)
    gallery.remove_look("ann", "wrong")
    gallery.migration.undo()
    door = reopened(path, old)
    assert [look.name for look in door.subjects()[0].looks] == ["evening"]
    assert answer(door, old, (0.93 * pictures["dan"][0]).astype(np.uint8)) is None
    assert answer(door, old, (0.93 * pictures["ann"][0]).astype(np.uint8)) == "ann"
    assert [s.templates for s in door.subjects()] == [4, 2, 2]


def test_subjects_enrolled_since_the_change_are_not_lost_by_undoing_it(
    gallery: Gallery, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    gallery.migration.with_captures(new, CAPTURES_KEY)
    enrol(gallery, new, "dan", pictures["dan"])
    with pytest.raises(GalleryError, match="exist of 'dan', enrolled after the change"):
        gallery.migration.undo()


@pytest.mark.parametrize("fault", ["missing", "altered", "swapped", "foreign", "key"])
def test_captures_that_are_not_the_subjects_own_change_nothing(
    gallery: Gallery, path: Path, new: Embedder, fault: str
) -> None:
    ids = {s.name: bytes.fromhex(s.id) for s in gallery.subjects()}
    ann, cyd = captures_path(path, ids["ann"]), captures_path(path, ids["cyd"])
    key, error = CAPTURES_KEY, GalleryError
    if fault == "missing":
        ann.unlink()
    elif fault == "altered":
        data = bytearray(ann.read_bytes())
        data[-1] ^= 1
        ann.write_bytes(data)
    elif fault == "swapped":
        shutil.copy(cyd, ann)
    elif fault == "foreign":
        crops = Crops(np.zeros((1, 96, 96, 3), np.uint8), "forged")
        gallery_id = bytes.fromhex(gallery.status().gallery_id)
        ann.write_bytes(
            seal_part(crops, gallery=gallery_id, subject=ids["ann"], recipient=CAPTURES_KEY.public)
        )
    else:
        key, error = CapturesKey(bytes(32)), SealError
    before = path.read_bytes()
    with pytest.raises(error, match="sealed for the key" if fault == "key" else "captures of 'ann'"):
        gallery.migration.with_captures(new, key)
    assert path.read_bytes() == before
    assert not kept_path(path).exists()


def test_a_card_without_evidence_and_a_model_of_the_gallery_are_refused(
    gallery: Gallery, old: Embedder, new: Embedder, bare: Embedder
) -> None:
    with pytest.raises(ModelCardError, match="has no operating points"):
        gallery.migration.with_captures(bare, CAPTURES_KEY)
    with pytest.raises(ModelMismatchError, match="of this model already"):
        gallery.migration.with_captures(old, CAPTURES_KEY)
    few = replace(new.card, operating_points=(evidence(threshold=0.92, fmr=1e-2),))
    weak = Embedder(new._backend, few, model_id=new.model_id)
    with pytest.raises(ModelCardError):
        gallery.migration.with_captures(weak, CAPTURES_KEY)


def test_own_thresholds_are_not_carried_over(gallery: Gallery, new: Embedder) -> None:
    with gallery.transaction() as transaction:
        transaction.set_threshold("cyd", 0.99)
    with pytest.raises(GalleryError, match="found them for 'cyd'"):
        gallery.migration.with_captures(new, CAPTURES_KEY)


def test_subjects_whom_the_new_model_confuses_are_named(
    gallery: Gallery, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    captures = Crops.received(pictures["ann"], old.card.input, consent="twin")
    gallery.enrol(
        "twin", np.stack([old.embed(p) for p in pictures["ann"]]), captures=captures, allow_duplicate=True
    )
    with pytest.raises(SubjectExistsError, match="look alike to it: 'ann' and 'twin'"):
        gallery.migration.with_captures(new, CAPTURES_KEY)
    assert gallery.migration.with_captures(new, CAPTURES_KEY, allow_duplicates=True).subjects == 4


def test_captures_that_are_not_alike_to_the_new_model_are_named(
    gallery: Gallery, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    captures = Crops.received([pictures["dan"][0], 255 - pictures["dan"][0]], old.card.input, consent="dan")
    gallery.enrol("dan", np.stack([old.embed(pictures["dan"][0])]), captures=captures)
    with pytest.raises(GalleryError, match="the captures of 'dan' are not alike to the new model"):
        gallery.migration.with_captures(new, CAPTURES_KEY)


def identity_map(old: Embedder, new: Embedder, **changes: float) -> SpaceMap:
    """A map between two networks of the tests, with rates that are good enough."""
    rates = {
        "fmr": 1e-3,
        "native_fnmr": 0.02,
        "mapped_fnmr": 0.021,
        "native_threshold": 0.97,
        "fmr_at_native_threshold": 1e-3,
        "fnmr_at_native_threshold": 0.021,
        **changes,
    }
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(new.dimension, old.dimension)))[0].astype(np.float32)
    return SpaceMap(
        old.model_id.space,
        bytes(old.model_id),
        new.model_id.space,
        basis,
        np.zeros(new.dimension, np.float32),
        "drawn",
        MapEvidence(
            loss_interval=(0.0, 0.002),
            mated=100,
            non_mated=3000,
            subjects=50,
            data_set="drawn",
            data_digest="",
            **rates,
        ),
    )


def test_a_map_moves_the_stored_templates(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]]
) -> None:
    space_map = identity_map(old, new)
    before = state_of(gallery)
    result = gallery.migration.with_map(new, space_map)
    assert (result.method, result.subjects, result.templates) == ("map", 3, 6)
    door = reopened(path, new)
    assert state_of(door) == before
    # A probe of the old network, mapped in the same way, is its template up to the rounding to int8.
    probe = space_map.apply(old.embed(pictures["ann"][0])[np.newaxis].astype(np.float64))[0]
    assert door.identify(probe.astype(np.float32)).subject == "ann"
    door.migration.undo()
    assert answer(reopened(path, old), old, pictures["ann"][0]) == "ann"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mapped_fnmr": 0.12}, "the map loses 10.00 points of FNMR at FMR 0.001, at most 1 is allowed"),
        ({"fmr_at_native_threshold": 2e-3}, "have 2.0 times the FMR of the new network at its threshold"),
        ({"fnmr_at_native_threshold": 0.05}, "mapped templates lose 3.00 points of FNMR"),
    ],
)
def test_a_map_that_loses_too_much_is_refused_with_the_figures(
    gallery: Gallery, path: Path, old: Embedder, new: Embedder, changes: dict[str, float], message: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(InputError, match=message) as caught:
        gallery.migration.with_map(new, identity_map(old, new, **changes))
    assert "FNMR at FMR 0.001:" in str(caught.value)
    assert path.read_bytes() == before


def test_a_map_of_other_models_is_refused(
    gallery: Gallery, old: Embedder, new: Embedder, bare: Embedder
) -> None:
    with pytest.raises(ModelMismatchError, match="the map is for templates of model"):
        gallery.migration.with_map(new, identity_map(bare, new))
    with pytest.raises(ModelMismatchError, match="the map leads to model"):
        gallery.migration.with_map(bare, identity_map(old, new))


@pytest.mark.parametrize("step", ["change", "confirm", "undo"])
def test_a_power_cut_leaves_the_old_or_the_new_gallery(
    old: Embedder, new: Embedder, pictures: dict[str, list[np.ndarray]], step: str
) -> None:
    path = Path("home.gallery")
    files = SimulatedFileSystem()
    gallery = Gallery.create(
        path, key=KEY, model_id=old.model_id, dimension=old.dimension, audit="off", filesystem=files
    )
    fill(gallery, old, pictures)
    if step != "change":
        gallery.migration.with_captures(new, CAPTURES_KEY)
    state = files.state()

    def run(opened: Gallery) -> None:
        if step == "change":
            opened.migration.with_captures(new, CAPTURES_KEY)
        else:
            getattr(opened.migration, step)()

    seen: set[tuple[bool, bool]] = set()
    cut, complete = 0, False
    while not complete:
        cut_files = SimulatedFileSystem.holding(state)
        opened = Gallery.open(path, key=KEY, needs_model=False, filesystem=cut_files)
        cut_files.cut_before, cut_files.tears = len(cut_files.steps) + cut, 1
        complete = True
        try:
            run(opened)
        except (PowerCut, GalleryError):
            complete = False
        for left in cut_files.states_after_cut():
            files_left = SimulatedFileSystem.holding(left)
            after = Gallery.open(path, key=KEY, needs_model=False, filesystem=files_left)
            is_new = after.status().model_id == new.model_id.space.hex()
            model = new if is_new else old
            assert [s.name for s in after.subjects()] == list(SUBJECTS)
            assert [s.name for s in after.subjects() if s.revoked] == ["bob"]
            assert answer(after, model, pictures["cyd"][0]) == "cyd"
            pending = after.migration.pending()
            seen.add((is_new, pending is not None))
            if pending is not None:
                after.migration.undo()
                assert after.status().model_id == old.model_id.space.hex()
                assert answer(after, old, pictures["ann"][0]) == "ann"
        cut += 1
    expected = {
        "change": {(False, False), (True, True)},
        "confirm": {(True, True), (True, False)},
        "undo": {(True, True), (False, False)},
    }
    assert seen == expected[step]


def test_a_crash_before_the_commit_leaves_a_file_that_verify_names(
    gallery: Gallery, path: Path, new: Embedder
) -> None:
    shutil.copy(path, kept_path(path))
    assert any(str(kept_path(path)) in problem for problem in gallery.problems())
    gallery.migration.with_captures(new, CAPTURES_KEY)
    assert gallery.problems() == ()
    kept_path(path).write_bytes(b"altered")
    assert any("cannot be undone" in problem for problem in gallery.problems())
    with pytest.raises(GalleryError, match="missing or was altered"):
        gallery.migration.undo()
    with contextlib.suppress(GalleryError):
        gallery.migration.confirm()
    assert not kept_path(path).exists()
