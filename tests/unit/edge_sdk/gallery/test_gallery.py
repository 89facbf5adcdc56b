"""Subjects can be enrolled, identified, verified, changed and removed; transactions detect concurrent changes."""

import subprocess
import sys
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import (
    GalleryChangedError,
    GalleryError,
    InputError,
    ModelMismatchError,
    RollbackError,
    SealError,
    SubjectExistsError,
    SubjectUnknownError,
)
from edge_sdk.gallery import AttemptPolicy, Decision, FileAnchor, Gallery, InMemoryKey, KeyFile, Reason
from edge_sdk.notices import GalleryWarning
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[4]
KEY = InMemoryKey(bytes(range(32)))
MODEL = bytes.fromhex("aa" * 32)
D = 24


def embeddings(seed: int, count: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, D)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home.gallery"


@pytest.fixture
def gallery(path: Path) -> Gallery:
    return Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)


@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("transform", ["shp3", "none"])
@pytest.mark.parametrize("suite", ["aes-256-gcm", "chacha20-poly1305"])
def test_enrolled_subjects_are_identified_after_opening(
    path: Path, dtype: str, transform: str, suite: str
) -> None:
    made = Gallery.create(
        path, key=KEY, model_id=MODEL, dimension=D, dtype=dtype, transform=transform, suite=suite
    )
    with made.transaction() as t:
        for seed in range(5):
            t.enrol(f"subject {seed}", embeddings(seed, 3), label="Zoë")
    made.remove("subject 2")
    gallery = Gallery.open(path, key=KEY, model_id=MODEL)
    for seed in (0, 1, 3, 4):
        answer = gallery.identify(7 * embeddings(seed, 3)[1], threshold=0.99)
        assert (answer.decision, answer.subject) == (Decision.ACCEPTED, f"subject {seed}")
        assert gallery.verify(embeddings(seed, 3)[2], f"subject {seed}", threshold=0.99).accepted
    gone = gallery.identify(embeddings(2, 3)[1], threshold=0.8)
    assert (gone.decision, gone.subject) == (Decision.REJECTED, None)
    assert [s.name for s in gallery.subjects()] == ["subject 0", "subject 1", "subject 3", "subject 4"]
    assert {(s.label, s.templates) for s in gallery.subjects()} == {("Zoë", 3)}


def test_an_answer_carries_no_score(gallery: Gallery) -> None:
    gallery.enrol("ann", embeddings(1))
    for answer in (
        gallery.identify(embeddings(1)[0], threshold=0.5),
        gallery.verify(embeddings(1)[0], "ann", threshold=0.5),
    ):
        assert not [value for value in vars(answer).values() if isinstance(value, (float, int))]


def test_an_empty_gallery_rejects(gallery: Gallery) -> None:
    assert gallery.identify(embeddings(1)[0], threshold=-1.0).decision is Decision.REJECTED


def test_a_tie_between_two_subjects_is_rejected_and_within_one_is_not(gallery: Gallery) -> None:
    same = embeddings(1)
    gallery.enrol("ann", np.concatenate([same, same]))
    assert gallery.identify(same[0], threshold=0.9).subject == "ann"
    gallery.enrol("twin", same)
    assert gallery.identify(same[0], threshold=0.9).decision is Decision.REJECTED
    assert gallery.verify(same[0], "twin", threshold=0.9).accepted


def test_the_threshold_is_a_cosine(path: Path) -> None:
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, dtype="float16")
    reference, other = embeddings(1)[0], embeddings(2)[0]
    probe = reference + other
    cosine = float(probe @ reference / np.linalg.norm(probe) / np.linalg.norm(reference))
    gallery.enrol("ann", reference)
    assert gallery.identify(probe, threshold=cosine - 1e-3).accepted
    assert not gallery.identify(probe, threshold=cosine + 1e-3).accepted


def test_validity_times_and_revocation_decide_before_any_comparison(gallery: Gallery) -> None:
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    later = soon + timedelta(hours=1)
    gallery.enrol("guest", embeddings(1), valid_from=soon, valid_until=later)
    gallery.enrol("twin of the guest", embeddings(1), valid_until=soon)
    probe = embeddings(1)[0]
    assert gallery.identify(probe, threshold=0.9).subject == "twin of the guest"
    assert gallery.identify(probe, threshold=0.9, now=soon).subject == "guest"
    assert not gallery.identify(probe, threshold=0.9, now=later).accepted
    assert not gallery.verify(probe, "guest", threshold=0.9).accepted
    with gallery.transaction() as t:
        t.revoke("guest")
    assert not gallery.identify(probe, threshold=0.9, now=soon).accepted
    assert gallery.subjects()[0].revoked
    with gallery.transaction() as t:
        t.reinstate("guest")
    assert gallery.identify(probe, threshold=0.9, now=soon).accepted


def test_a_clock_put_back_before_the_last_commit_is_not_believed(path: Path) -> None:
    clock = [2_000_000_000.0]
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, clock=lambda: clock[0])
    gallery.enrol("guest", embeddings(1), valid_until=2_000_500_000)
    clock[0] = 2_001_000_000.0
    gallery.enrol("owner", embeddings(2))
    clock[0] = 2_000_400_000.0
    with pytest.warns(GalleryWarning, match="the clock is 7 days behind the gallery"):
        assert not gallery.identify(embeddings(1)[0], threshold=0.9).accepted


def test_a_failed_block_changes_nothing(gallery: Gallery, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SubjectExistsError), gallery.transaction() as t:
        t.enrol("ann", embeddings(1))
        t.enrol("ann", embeddings(2))
    assert path.read_bytes() == before
    with gallery.transaction():
        pass
    assert path.read_bytes() == before
    assert gallery.subjects() == ()


def test_one_block_may_remove_and_enrol_again(gallery: Gallery) -> None:
    for seed in range(4):
        gallery.enrol(f"s{seed}", embeddings(seed, seed + 1))
    with gallery.transaction() as t:
        t.remove("s1")
        t.enrol("s1", embeddings(9))
        t.enrol("s4", embeddings(4))
        t.revoke("s3")
        t.revoke("s4")
        t.remove("s0")
    assert [(s.name, s.templates, s.revoked) for s in gallery.subjects()] == [
        ("s2", 3, False),
        ("s3", 4, True),
        ("s1", 1, False),
        ("s4", 1, True),
    ]
    assert gallery.identify(embeddings(9)[0], threshold=0.9).subject == "s1"
    assert not gallery.identify(embeddings(3, 4)[0], threshold=0.9).accepted
    assert gallery.references().subject_indices.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 3]


def test_names_are_one_in_every_unicode_spelling(gallery: Gallery) -> None:
    gallery.enrol("Zoe\u0308", embeddings(1))
    assert gallery.subjects()[0].name == "Zo\u00eb"
    with pytest.raises(SubjectExistsError):
        gallery.enrol("Zo\u00eb", embeddings(2))
    assert gallery.verify(embeddings(1)[0], "Zoe\u0308", threshold=0.9).accepted
    gallery.remove("Zoe\u0308")


@pytest.mark.parametrize(
    "name", ["", "a\nb", "\x1b[2J", "x" * 65, "é" * 33, "\u202egnp.exe", "\ud800", "\x85"]
)
def test_bad_names_are_refused(gallery: Gallery, name: str) -> None:
    with pytest.raises(InputError):
        gallery.enrol(name, embeddings(1))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(D, np.float32),
        np.full(D, np.nan, np.float32),
        np.full(D, np.inf, np.float32),
        np.ones(D, np.float64),
        np.ones(D + 1, np.float32),
        np.ones((1, 1, D), np.float32),
        np.ones((0, D), np.float32),
        np.float32(1),
        [1.0] * D,
        None,
    ],
)
def test_bad_embeddings_are_refused(gallery: Gallery, bad: object) -> None:
    with pytest.raises(InputError):
        gallery.enrol("ann", bad)  # type: ignore[arg-type]
    with pytest.raises(InputError):
        gallery.identify(bad, threshold=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), 1.01, -1.01])
def test_bad_thresholds_are_refused(gallery: Gallery, threshold: float) -> None:
    with pytest.raises(InputError):
        gallery.identify(embeddings(1)[0], threshold=threshold)


def test_extreme_embeddings_are_stored_as_directions(gallery: Gallery) -> None:
    gallery.enrol("huge", embeddings(1) * np.float32(1e37))
    gallery.enrol("tiny", embeddings(2) * np.float32(1e-37))
    assert gallery.identify(embeddings(1)[0], threshold=0.99).subject == "huge"
    assert gallery.identify(embeddings(2)[0] * np.float32(1e-37), threshold=0.99).subject == "tiny"


def test_unknown_subjects_and_bad_times(gallery: Gallery) -> None:
    for attempt in (
        lambda: gallery.remove("nobody"),
        lambda: gallery.verify(embeddings(1)[0], "nobody", threshold=0.5),
    ):
        with pytest.raises(SubjectUnknownError, match="nobody"):
            attempt()
    for bad in (datetime(2030, 1, 1), -5, float("nan")):
        with pytest.raises(InputError):
            gallery.enrol("ann", embeddings(1), valid_until=bad)
    with pytest.raises(InputError):
        gallery.enrol("ann", embeddings(1), valid_from=2_000_000_000, valid_until=1_900_000_000)


def test_a_gallery_that_is_opened_without_a_model_id_warns(gallery: Gallery, path: Path) -> None:
    with pytest.warns(GalleryWarning, match="without a model id.*model_id=embedder.model_id") as caught:
        Gallery.open(path, key=KEY)
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Gallery.open(path, key=KEY, model_id=MODEL)
        Gallery.open(path, key=KEY, needs_model=False)


def test_another_model_is_refused_by_name(gallery: Gallery, path: Path) -> None:
    with pytest.raises(ModelMismatchError, match=r"aaaaaaaa.*bbbbbbbb"):
        Gallery.open(path, key=KEY, model_id=bytes.fromhex("bb" * 32))


def test_a_concurrent_change_is_an_error_in_a_block_and_repeated_outside(
    gallery: Gallery, path: Path
) -> None:
    other = Gallery.open(path, key=KEY)
    other.enrol("first", embeddings(1))
    with (
        pytest.raises(GalleryChangedError, match="changed by another process"),
        gallery.transaction() as t,
    ):
        t.enrol("second", embeddings(2))
    assert gallery.refresh()
    assert not gallery.refresh()
    other.enrol("second", embeddings(2))
    gallery.enrol("third", embeddings(3))
    with pytest.raises(SubjectExistsError):
        other.enrol("third", embeddings(3))
    other.revoke("first")
    assert [(s.name, s.revoked) for s in Gallery.open(path, key=KEY).subjects()] == [
        ("first", True),
        ("second", False),
        ("third", False),
    ]


def test_a_refresh_inside_a_block_does_not_hide_a_concurrent_change(gallery: Gallery, path: Path) -> None:
    with pytest.raises(GalleryError, match="changed by another process"), gallery.transaction() as t:
        t.enrol("second", embeddings(2))
        Gallery.open(path, key=KEY).enrol("first", embeddings(1))
        gallery.refresh()
    assert [s.name for s in Gallery.open(path, key=KEY).subjects()] == ["first"]


def test_refresh_notices_an_old_copy(gallery: Gallery, path: Path) -> None:
    old = path.read_bytes()
    gallery.enrol("ann", embeddings(1))
    path.write_bytes(old)
    with pytest.raises(RollbackError):
        gallery.refresh()


def test_a_running_process_answers_by_the_commits_of_other_processes(gallery: Gallery, path: Path) -> None:
    """A process that only identifies applies revocations and limits that other processes commit."""
    gallery.enrol("ann", embeddings(1))
    office, face, stranger = Gallery.open(path, key=KEY), embeddings(1)[0], embeddings(2)[0]
    assert gallery.identify(face, threshold=0.9).accepted
    office.revoke("ann")
    assert not gallery.identify(face, threshold=0.9).accepted
    assert not gallery.verify(face, "ann", threshold=0.9).accepted
    office.reinstate("ann")
    assert gallery.identify(face, threshold=0.9).accepted
    with office.transaction() as t:
        t.limit_attempts(AttemptPolicy(free=1, most=1, wait_s=0))
    assert gallery.identify(stranger, threshold=0.9).decision is Decision.REJECTED
    for result in (
        gallery.identify(face, threshold=0.9),
        gallery.verify(face, "ann", threshold=0.9),
        gallery.reject(),
    ):
        assert (result.decision, result.reason) == (Decision.LOCKED_OUT, Reason.DISABLED)
    office.enrol("ben", embeddings(3))
    assert gallery.verify(embeddings(3)[0], "ben", threshold=0.9).subject == "ben"


def test_a_running_process_gives_no_answer_if_its_gallery_is_missing_or_old(
    gallery: Gallery, path: Path
) -> None:
    gallery.enrol("ann", embeddings(1))
    old, face = path.read_bytes(), embeddings(1)[0]
    gallery.revoke("ann")
    newest = path.read_bytes()
    path.write_bytes(old)
    with pytest.raises(RollbackError):
        gallery.identify(face, threshold=0.9)
    path.unlink()
    with pytest.raises(GalleryError, match="no gallery at"):
        gallery.verify(face, "ann", threshold=0.9)
    path.write_bytes(newest)
    assert not gallery.identify(face, threshold=0.9).accepted


def test_every_older_generation_is_refused_with_an_anchor(tmp_path: Path, path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    old = []
    for seed in range(6):
        old.append(path.read_bytes())
        gallery.enrol(f"s{seed}", embeddings(seed))
    newest = path.read_bytes()
    for copy in old:
        path.write_bytes(copy)
        with pytest.raises(RollbackError, match="old copy"):
            Gallery.open(path, key=KEY, anchor=anchor)
    path.write_bytes(newest)
    assert Gallery.open(path, key=KEY, anchor=anchor).status().generation == 7
    (tmp_path / "anchor").unlink()
    with pytest.raises(RollbackError, match="anchor was lost"):
        Gallery.open(path, key=KEY, anchor=anchor)


def test_an_anchor_serves_one_gallery(tmp_path: Path, path: Path) -> None:
    anchor = FileAnchor(tmp_path / "anchor")
    Gallery.create(path, key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    with pytest.raises(GalleryError, match="another gallery"):
        Gallery.create(tmp_path / "other", key=KEY, model_id=MODEL, dimension=D, anchor=anchor)
    (tmp_path / "anchor").write_text("nonsense")
    with pytest.raises(GalleryError, match="not an anchor"):
        Gallery.open(path, key=KEY, anchor=anchor)


def test_wrong_keys_and_creation_errors(gallery: Gallery, path: Path, tmp_path: Path) -> None:
    for wrong in (InMemoryKey(b"z" * 32), KeyFile.create(tmp_path / "other.key")):
        with pytest.raises(SealError, match="wrong key"):
            Gallery.open(path, key=wrong)
    with pytest.raises(GalleryError, match="exists already"):
        Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    with pytest.raises(GalleryError, match="no gallery at"):
        Gallery.open(tmp_path / "none", key=KEY)
    for wrong in (
        {"model_id": b"short"},
        {"dimension": 0},
        {"dimension": 65_536},
        {"dtype": "int4"},
        {"suite": "rot13"},
    ):
        with pytest.raises(InputError):
            Gallery.create(tmp_path / "new", **{"key": KEY, "model_id": MODEL, "dimension": D, **wrong})  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_status_reports_key_anchor_and_model(gallery: Gallery) -> None:
    status = gallery.status()
    assert (status.key_level, status.key_name, status.generation, status.key_epoch) == (
        0,
        "key in memory",
        1,
        1,
    )
    assert status.anchor.startswith("none")
    assert (status.transform, status.dtype, status.dimension) == ("shp3", "int8", D)
    assert status.model_id == MODEL.hex()


def test_references_are_read_only_and_match_the_transformed_probe(gallery: Gallery) -> None:
    gallery.enrol("ann", embeddings(1))
    matrix, indices = gallery.references()
    assert (matrix.dtype, matrix.shape, indices.tolist()) == (np.int8, (1, D), [0])
    with pytest.raises(ValueError, match="read-only"):
        matrix[0] = 0
    row = matrix[0].astype(np.float64)
    assert row @ gallery.transform_probe(embeddings(1)[0]) / np.linalg.norm(row) > 0.999
    assert matrix.ctypes.data % 64 == 0


def test_the_same_face_in_two_galleries_is_unrelated(tmp_path: Path) -> None:
    rows = []
    for name in ("one", "two"):
        gallery = Gallery.create(tmp_path / name, key=KEY, model_id=MODEL, dimension=512)
        gallery.enrol("ann", np.random.default_rng(0).normal(size=512).astype(np.float32))
        row = gallery.references().matrix[0].astype(np.float64)
        rows.append(row / np.linalg.norm(row))
    assert abs(rows[0] @ rows[1]) < 0.25


def test_the_caps_hold_when_writing(gallery: Gallery) -> None:
    many = np.tile(embeddings(1), (100_001, 1))
    with pytest.raises(GalleryError, match="100000"):
        gallery.enrol("crowd", many)
    gallery.enrol("ann", embeddings(1))


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )


def test_importing_loads_no_cryptography_and_its_absence_says_the_fix() -> None:
    done = run(
        "import sys, edge_sdk, edge_sdk.gallery as g\n"
        "assert not [m for m in sys.modules if m.split('.')[0] == 'cryptography']\n"
        "sys.modules['cryptography'] = None\n"
        "try: g.Gallery.create('x', key=g.InMemoryKey(bytes([1]) * 32), model_id=bytes(32), dimension=4)\n"
        "except edge_sdk.GalleryError as error: print(error, '|', error.hint)\n"
    )
    assert (
        done.stdout.strip()
        == "the gallery needs the package cryptography | pip install 'edge-embedding-sdk[gallery]'"
    ), done
