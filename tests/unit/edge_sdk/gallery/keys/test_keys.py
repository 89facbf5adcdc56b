"""Key files, passphrases and keys in memory refuse unsafe input and show no secret in a repr."""

import struct
import unicodedata
from pathlib import Path

import pytest

from edge_sdk.errors import GalleryError, GalleryFormatError, InputError, SealError
from edge_sdk.gallery import Gallery, InMemoryKey, KeyFile, Passphrase

QUICK = {"memory_kib": 64, "passes": 1, "lanes": 1}


def test_a_key_file_is_private_random_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "home.key"
    key = KeyFile.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert key.secret(b"") == path.read_bytes()
    assert KeyFile.create(tmp_path / "other").secret(b"") != path.read_bytes()
    with pytest.raises(GalleryError, match="exists"):
        KeyFile.create(path)
    with pytest.raises(GalleryError) as caught:
        KeyFile.create(tmp_path / "nowhere" / "home.key")
    assert caught.value.hint == f"create the folder {tmp_path / 'nowhere'} first"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "home.key"
    key = KeyFile.create(path)
    path.chmod(mode)
    with pytest.raises(GalleryError, match=f"{mode:04o}") as caught:
        key.secret(b"")
    assert caught.value.hint is not None
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize("size", [0, 31, 33, 5000])
def test_a_key_file_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "home.key"
    path.write_bytes(bytes(size))
    # A file of the wrong length is not a key file, so its mode must not be reported.
    for mode in (0o600, 0o644):
        path.chmod(mode)
        with pytest.raises(GalleryError, match=f"expected a key file of 32 bytes, found {size}") as caught:
            KeyFile(path).secret(b"")
        assert "chmod" not in str(caught.value.hint)


def test_a_key_file_that_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    KeyFile.create(tmp_path / "home.key")
    (tmp_path / "link").symlink_to(tmp_path / "home.key")
    for path in (tmp_path / "link", tmp_path, tmp_path / "missing"):
        with pytest.raises(GalleryError):
            KeyFile(path).secret(b"")


def test_a_passphrase_opens_in_every_spelling_and_only_it(tmp_path: Path) -> None:
    words = "größer als du und ich"
    Gallery.create(tmp_path / "g", key=Passphrase(words, **QUICK), model_id=bytes(32), dimension=4)
    gallery = Gallery.open(tmp_path / "g", key=Passphrase(unicodedata.normalize("NFD", words)))
    assert (gallery.status().key_level, gallery.status().key_name) == (2, "passphrase")
    for wrong in ("größer als Du und ich", "", words + " "):
        with pytest.raises(SealError, match="wrong key"):
            Gallery.open(tmp_path / "g", key=Passphrase(wrong))


def test_the_default_costs_are_those_of_the_specification() -> None:
    parameters = Passphrase("long enough").new_parameters(bytes)
    assert struct.unpack("<III16s", parameters)[:3] == (64 * 1024, 3, 4)


def test_a_short_passphrase_and_wild_costs_make_no_slot() -> None:
    with pytest.raises(InputError, match="8"):
        Passphrase("seven..").new_parameters(bytes)
    with pytest.raises(InputError, match="expected Argon2id costs within"):
        Passphrase("long enough", memory_kib=1 << 22).new_parameters(bytes)


@pytest.mark.parametrize(
    "costs",
    [
        (1 << 22, 1, 1),
        (256 * 1024 + 1, 1, 1),
        (64, 17, 1),
        (256, 1, 17),
        (64, 0, 1),
        (64, 1, 0),
        (7, 1, 1),
        (0, 0, 0),
    ],
)
def test_costs_beyond_the_limits_are_refused_before_memory_is_allocated(costs: tuple[int, int, int]) -> None:
    with pytest.raises(GalleryFormatError, match="expected Argon2id costs within"):
        Passphrase("long enough").secret(struct.pack("<III16s", *costs, bytes(16)))


def test_malformed_parameters_are_refused() -> None:
    for key, parameters in (
        (Passphrase("long enough"), b""),
        (Passphrase("long enough"), bytes(29)),
        (KeyFile("x"), b"x"),
        (InMemoryKey(b"z" * 32), b"x"),
    ):
        with pytest.raises(GalleryFormatError):
            key.secret(parameters)
    with pytest.raises(InputError):
        InMemoryKey(bytes(31))


def test_no_repr_shows_a_secret() -> None:
    assert "hunter" not in repr(Passphrase("hunter2 hunter2"))
    assert "\\x41" not in repr(InMemoryKey(b"A" * 32))
    assert "A" * 8 not in repr(InMemoryKey(b"A" * 32))
