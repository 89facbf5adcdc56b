"""The file of a map between two embedding spaces comes back, and a damaged one is refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sdk.errors import GalleryFormatError, InputError
from edge_sdk.gallery.migration.space_map import MapEvidence, SpaceMap, pack_map, parse_map, read_map

EVIDENCE = MapEvidence(
    fmr=1e-3,
    native_fnmr=0.02,
    mapped_fnmr=0.025,
    loss_interval=(-0.001, 0.008),
    native_threshold=0.4,
    fmr_at_native_threshold=9e-4,
    fnmr_at_native_threshold=0.026,
    mated=1000,
    non_mated=100_000,
    subjects=300,
    data_set="people",
    data_digest="ab" * 32,
)


@pytest.fixture
def space_map() -> SpaceMap:
    rng = np.random.default_rng(0)
    return SpaceMap(
        b"o" * 32,
        b"f" * 32,
        b"n" * 32,
        rng.normal(size=(6, 4)).astype(np.float32),
        rng.normal(size=6).astype(np.float32),
        "ridge 0.1",
        EVIDENCE,
    )


def test_a_map_comes_back_and_gives_unit_embeddings(space_map: SpaceMap, tmp_path: Path) -> None:
    path = tmp_path / "new.edgemap"
    path.write_bytes(pack_map(space_map))
    again = read_map(path)
    assert (again.source_space, again.source_file, again.target_space) == (b"o" * 32, b"f" * 32, b"n" * 32)
    assert np.array_equal(again.matrix, space_map.matrix)
    assert (again.method, again.evidence) == (space_map.method, EVIDENCE)
    rows = again.apply(np.eye(4))
    assert rows.shape == (4, 6)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1)
    with pytest.raises(InputError, match="dimension 4"):
        again.apply(np.eye(5))


def test_every_altered_byte_and_every_cut_is_refused(space_map: SpaceMap) -> None:
    data = pack_map(space_map)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(GalleryFormatError):
            parse_map(bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(GalleryFormatError):
            parse_map(data[:length])


@pytest.mark.parametrize(
    "change", ["schema", "rate", "digest", "field", "threshold", "count", "interval", "text", "depth"]
)
def test_a_map_with_a_malformed_text_is_refused(space_map: SpaceMap, change: str) -> None:
    data = pack_map(space_map)
    length = int.from_bytes(data[12:16], "little")
    fields = json.loads(data[20 : 20 + length])
    if change == "schema":
        fields["schema"] = "edge-sdk/space-map/2"
    elif change == "rate":
        fields["evidence"]["mapped_fnmr"] = 2.0
    elif change == "digest":
        fields["source_space"] = "ab"
    elif change == "threshold":
        fields["evidence"]["native_threshold"] = "high"
    elif change == "count":
        fields["evidence"]["subjects"] = 1.5
    elif change == "interval":
        fields["evidence"]["loss_interval"] = None
    elif change == "text":
        fields["method"] = ["ridge"]
    elif change == "field":
        fields["evidence"]["other"] = 1
    text = b"[" * 60_000 if change == "depth" else json.dumps(fields).encode()
    head = data[:12] + len(text).to_bytes(4, "little") + data[16:20]
    body = head + text + data[20 + length : -32]
    with pytest.raises(GalleryFormatError, match="the text of the map is malformed"):
        parse_map(body + hashlib.sha256(body).digest())


def test_a_file_that_is_missing_or_no_map_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the map"):
        read_map(tmp_path / "none")
    (tmp_path / "other").write_bytes(b"PK" * 100)
    with pytest.raises(GalleryFormatError) as caught:
        read_map(tmp_path / "other")
    assert caught.value.hint == "edge-convert map writes one"


def test_the_loss_decides_if_a_map_is_used(space_map: SpaceMap) -> None:
    assert EVIDENCE.problem() is None
    space_map.require_usable()
    assert replace(EVIDENCE, mapped_fnmr=0.03).problem() is None
    for fields, words in (({"fmr": 0.5}, "at FMR 0.5"), ({"non_mated": 2999}, "2999 non-mated comparisons")):
        assert words in (replace(EVIDENCE, **fields).problem() or "")
    bad = replace(space_map, evidence=replace(EVIDENCE, mapped_fnmr=0.031))
    with pytest.raises(InputError, match=r"loses 1\.10 points .* 3\.10 % with mapped templates, 2\.00 %"):
        bad.require_usable()
