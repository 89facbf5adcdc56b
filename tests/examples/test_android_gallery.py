"""The reader in plain Java opens the galleries that the SDK writes and refuses the same vectors."""

import math
import shutil
import struct
import subprocess
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery, InMemoryKey
from edge_sdk.model.non_mated_scores import NonMatedScores
from edge_sdk.model.operating_point import OperatingPoint
from tests.conftest import lacking
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "firmware_examples" / "android" / "gallery" / "src"
VECTORS = sorted((ROOT / "tests" / "vectors" / "gallery").glob("*.vector"))
MODEL = bytes(range(32))
KEY = bytes(range(100, 132))


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("javac") is None:
        lacking("needs javac on the PATH: apt-get install default-jdk-headless")
    folder = tmp_path_factory.mktemp("classes")
    files = [str(path) for path in SOURCES.rglob("*.java")]
    compiler = ["javac", "-Xlint:all", "-Werror", "--release", "11", "-encoding", "UTF-8", "-d", str(folder)]
    subprocess.run([*compiler, *files], check=True, timeout=PATIENCE_S)
    return folder


def read(classes: Path, arguments: Iterable[str]) -> dict[str, str]:
    """Run the Java reader on vector files and return its result per file name."""
    program = ["java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", str(classes)]
    run = subprocess.run(
        [*program, "org.edgesdk.gallery.ReadVectors", *arguments],
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
        encoding="utf-8",
    )
    return dict(line.split(": ", 1) for line in run.stdout.splitlines())


def head_of(vector: Path) -> tuple[dict[str, str], bytes]:
    text, _, file = vector.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in text.decode().splitlines()), file


def derive_secret(passphrase: str, file: bytes) -> str:
    """Derive the secret of the first slot from a passphrase; Java lacks Argon2id, so the app must add it."""
    memory, passes, lanes, salt = struct.unpack("<III16s", file[92:120])
    kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return kdf.derive(unicodedata.normalize("NFC", passphrase).encode()).hex()


def test_every_vector_is_read_or_refused_as_expected(classes: Path) -> None:
    heads = {path.name: head_of(path) for path in VECTORS}
    secrets = {
        name: "=" + derive_secret(head["passphrase"], file)
        for name, (head, file) in heads.items()
        if "passphrase" in head
    }
    results = read(classes, [f"{path}{secrets.get(path.name, '')}" for path in VECTORS])
    assert len(results) == len(VECTORS) > 50
    for name, (head, _) in heads.items():
        assert results[name].split()[0] == head["expect"], name
        for field in {"generation", "subjects", "templates", "identified"} & set(head):
            assert f" {field}={head[field]}" in results[name], name


@pytest.mark.parametrize("dtype", ["int8", "float16"])
@pytest.mark.parametrize("dimension", [500, 512])
def test_it_gives_the_same_answers_as_the_sdk(
    classes: Path, tmp_path: Path, dtype: str, dimension: int
) -> None:
    rng = np.random.default_rng(dimension)
    people = rng.normal(size=(60, dimension)).astype(np.float32)
    path = tmp_path / "home.gallery"
    key = InMemoryKey(KEY)
    earlier_s = 1_500_000_000
    created = Gallery.create(
        path, key=key, model_id=MODEL, dimension=dimension, dtype=dtype, clock=lambda: earlier_s
    )
    with created.transaction() as t:
        for i, person in enumerate(people):
            captures = person + rng.normal(scale=0.4, size=(2, dimension))
            until = earlier_s + 1 if i % 10 == 9 else None  # no longer valid
            t.enrol(f"person {i}", captures.astype(np.float32), valid_until=until)
    gallery = Gallery.open(path, key=key, model_id=MODEL)
    arguments, expected = [], {}
    for i in range(40):
        stranger = rng.normal(size=dimension)
        probe = np.where(i % 3 == 2, stranger, people[i] + rng.normal(scale=1.2, size=dimension))
        probe = probe.astype(np.float32)
        # The threshold is near the mated scores, so that both answers occur.
        answer = gallery.identify(probe, threshold=0.6)
        head = {
            "key": KEY.hex(),
            "probe": ",".join(repr(float(value)) for value in probe),
            "threshold": "0.6",
        }
        vector = tmp_path / f"{i}.vector"
        lines = "\n".join(f"{name}: {value}" for name, value in head.items())
        vector.write_bytes(lines.encode() + b"\n\n" + path.read_bytes())
        arguments.append(str(vector))
        expected[vector.name] = answer.subject or "nobody"
    answers = {name: line.rsplit("identified=", 1)[1] for name, line in read(classes, arguments).items()}
    assert answers == expected
    assert "nobody" in answers.values()
    assert len(set(answers.values())) > 5


def test_it_raises_thresholds_for_the_gallerys_own_subjects_as_the_sdk_does(
    classes: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    path, key = tmp_path / "home.gallery", InMemoryKey(KEY)
    point = OperatingPoint(0.5, 1e-5, 0.01, mated_trials=100, non_mated_trials=400_000)
    scores = NonMatedScores(0.0, 0.125, 0.3, 0.01, comparisons=400_000, subjects=1000)
    policy = DecisionPolicy((point,), fpir=0.01, non_mated_scores=scores, adapts=True)
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=64)
    # More subjects and templates than are compared, all with a part in common.
    people = 1.0 + rng.normal(size=(150, 64))
    with gallery.transaction() as t:
        t.set_policy(policy)
        for number, person in enumerate(people):
            captures = person + rng.normal(scale=0.1, size=(1 + number % 6, 64))
            t.enrol(f"person {number}", captures.astype(np.float32))
    limit = gallery.status().threshold
    assert limit is not None
    assert 0.7 < limit < 1
    arguments, expected = [], {}
    axis = people[7] / np.linalg.norm(people[7])
    for place in range(24):
        # Cosines close to the raised threshold on both sides.
        other = rng.normal(size=64)
        other -= (other @ axis) * axis
        cosine = limit + (place - 12) * 1e-3
        probe = cosine * axis + math.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
        answer = gallery.identify(probe.astype(np.float32))
        numbers = ",".join(repr(float(value)) for value in probe.astype(np.float32))
        vector = tmp_path / f"{place}.vector"
        lines = f"key: {KEY.hex()}\nprobe: {numbers}\nthreshold: policy\n\n"
        vector.write_bytes(lines.encode() + path.read_bytes())
        arguments.append(str(vector))
        expected[vector.name] = answer.subject or "nobody"
    answers = {name: line.rsplit("identified=", 1)[1] for name, line in read(classes, arguments).items()}
    assert answers == expected
    assert set(answers.values()) == {"nobody", "person 7"}


def test_a_gallery_that_limits_attempts_is_refused_because_the_reader_does_not_count_them(
    classes: Path, tmp_path: Path
) -> None:
    gallery = Gallery.create(tmp_path / "home.gallery", key=InMemoryKey(KEY), model_id=MODEL, dimension=8)
    vector = tmp_path / "limited.vector"
    results = []
    for limit in (None, AttemptPolicy()):
        with gallery.transaction() as t:
            t.limit_attempts(limit)
        vector.write_bytes(f"key: {KEY.hex()}\n\n".encode() + (tmp_path / "home.gallery").read_bytes())
        results.append(read(classes, [str(vector)])[vector.name].split()[0])
    assert results == ["ok", "format"]


def test_a_changed_bit_is_refused(classes: Path, tmp_path: Path) -> None:
    path = tmp_path / "home.gallery"
    gallery = Gallery.create(path, key=InMemoryKey(KEY), model_id=MODEL, dimension=8)
    gallery.enrol("ann", np.arange(1, 9, dtype=np.float32)[np.newaxis])
    whole = path.read_bytes()
    vectors = []
    for position in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        vector = tmp_path / f"{position}.vector"
        vector.write_bytes(f"key: {KEY.hex()}\n\n".encode() + changed)
        vectors.append(str(vector))
    results = read(classes, vectors)
    assert len(results) == len(vectors)
    assert set(results.values()) <= {"format", "seal"}


def test_an_anchored_gallery_gives_no_answer_before_the_anchor_was_compared(
    classes: Path, tmp_path: Path
) -> None:
    path, key = tmp_path / "home.gallery", InMemoryKey(KEY)
    anchor = FileAnchor(tmp_path / "home.anchor")
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=8, anchor=anchor)
    gallery.enrol("ann", np.arange(1, 9, dtype=np.float32)[np.newaxis])
    head = f"key: {KEY.hex()}\nprobe: 1,2,3,4,5,6,7,8\nthreshold: 0.9\n"
    compared, not_compared = tmp_path / "compared.vector", tmp_path / "not_compared.vector"
    compared.write_bytes(f"{head}anchor: 2\n\n".encode() + path.read_bytes())
    not_compared.write_bytes(f"{head}\n".encode() + path.read_bytes())
    assert read(classes, [str(compared)])[compared.name].endswith("identified=ann")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        read(classes, [str(not_compared)])
    assert "expected a call of requireAnchor before this one" in caught.value.stderr
