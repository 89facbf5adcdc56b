"""Erased subjects are removed, and the receipt states if older copies can still be opened."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edge_sdk.errors import (
    GalleryError,
    InputError,
    SubjectUnknownError,
)
from edge_sdk.gallery import Gallery, Passphrase, TpmKey
from edge_sdk.gallery.keys import tpm_nv
from edge_sdk.gallery.store.files import audit_path
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, QUICK, D, embeddings, names


def test_an_erasure_without_a_chip_says_that_it_is_not_provable(gallery: Gallery, path: Path) -> None:
    ids = {s.name: s.id for s in gallery.subjects()}
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    receipt = gallery.erase("bob")
    assert (receipt.subjects, receipt.count, receipt.provable) == ((ids["bob"],), 1, False)
    assert receipt.statement.startswith("logically erased, not provably")
    assert (receipt.generation, receipt.key_epoch) == (3, 2)
    assert names(path, KEY) == ["ann"]
    assert names(copy, KEY) == ["ann", "bob"], "as the receipt states"
    assert "bob" not in audit_path(path).read_text()
    assert gallery.audit.report().entries[-1].event.event == "erase"


def test_an_erasure_while_a_key_is_absent_is_done_and_says_so(gallery: Gallery, path: Path) -> None:
    words = Passphrase("a recovery phrase", **QUICK)
    gallery.keys.add(words)
    receipt = gallery.erase("bob")
    assert (receipt.provable, receipt.key_epoch) == (False, 1)
    assert "a key that was not given" in receipt.statement
    assert names(path, words) == ["ann"]
    receipt = gallery.erase("ann", keys=[words])
    assert (receipt.provable, receipt.key_epoch) == (False, 2)
    assert names(path, words) == names(path, KEY) == []


def test_an_erasure_with_an_unknown_name_erases_no_subject(gallery: Gallery, path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(SubjectUnknownError):
        gallery.erase("bob", "nobody")
    with pytest.raises(InputError):
        gallery.erase()
    assert path.read_bytes() == before


def test_an_erasure_with_a_chip_destroys_what_opened_older_copies(path: Path, tpm: str) -> None:
    key = TpmKey(pcrs="")
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    gallery.enrol("bob", embeddings(2))
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    assert names(copy, key) == ["ann", "bob"]
    receipt = gallery.erase("bob")
    assert receipt.provable
    assert "destroyed in the TPM" in receipt.statement
    assert names(path, key) == ["ann"]
    with pytest.raises(GalleryError):
        Gallery.open(copy, key=key)
    assert len(tpm_nv.indices()) == 1


def test_a_chip_and_a_passphrase_together_prove_nothing(path: Path, tpm: str) -> None:
    key, words = TpmKey(pcrs=""), Passphrase("a recovery phrase", **QUICK)
    gallery = Gallery.create(path, key=key, model_id=MODEL, dimension=D)
    gallery.enrol("ann", embeddings(1))
    gallery.keys.add(words)
    receipt = gallery.erase("ann", keys=[words])
    assert not receipt.provable
    assert (receipt.key_epoch, len(tpm_nv.indices())) == (2, 1)
