"""A model file is used unchanged, or refused before an interpreter reads it."""

import contextlib
import hashlib
import io
import os
import random
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_sdk.errors import ModelCardError, ModelError
from edge_sdk.model.card import CARD_NAME, MAX_CARD_BYTES, ModelCard
from edge_sdk.model.model_file import ModelFile, split

Make = Callable[..., Any]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return a function that writes bytes to a file named model.tflite."""

    def write(data: bytes) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(data)
        return path

    return write


def archive(network: bytes, *members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO(network)
    file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file, "a", compression) as bundle, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns about two members with one name
        for name, data in members:
            bundle.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return file.getvalue()


def test_a_whole_file_opens_with_its_card_and_its_identity(model_path: Path) -> None:
    file = ModelFile.open(model_path)
    assert file.card.name == "pooled-colours"
    assert file.sha256 == hashlib.sha256(model_path.read_bytes()).hexdigest()
    assert file.model_id.hex() == file.sha256
    assert file.data == model_path.read_bytes()


def test_the_pinned_digest_is_accepted_in_any_case(model_path: Path) -> None:
    digest = ModelFile.open(model_path).sha256
    assert ModelFile.open(model_path, sha256=f" {digest.upper()}\n").sha256 == digest


def test_a_wrong_digest_is_said_before_anything_is_parsed(write: Make) -> None:
    path = write(b"not a model at all")
    with pytest.raises(ModelError, match=f"expected SHA-256 {'0' * 64}, found [0-9a-f]{{64}}"):
        ModelFile.open(path, sha256="0" * 64)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: cannot be read: No such file"):
        ModelFile.open(tmp_path / "none.tflite")


def test_an_empty_file_is_said(write: Make) -> None:
    with pytest.raises(ModelError, match="the file is empty"):
        ModelFile.open(write(b""))


def test_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="found a folder"):
        ModelFile.open(tmp_path)


def test_a_pipe_or_a_device_is_refused_without_being_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ModelError, match="found a device or a pipe"):
            ModelFile.open(path)


def test_a_path_with_a_null_byte_gives_one_error() -> None:
    with pytest.raises(ModelError, match="null byte"):
        ModelFile.open("a\0b")


def test_a_file_too_large_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    with path.open("wb") as file:
        file.truncate((512 << 20) + 1)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="at most 512 MiB"):
            ModelFile.open(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_another_kind_of_file_under_the_name_is_said(write: Make, products: list[Any]) -> None:
    with pytest.raises(ModelError, match=r"expected a \.tflite \(file identifier TFL3\)") as refused:
        ModelFile.open(write(products[0].enrol.read_bytes()))
    assert "model with edge-convert" in (refused.value.hint or "")


def test_a_network_without_a_card_is_refused_and_says_who_writes_one(write: Make, model_bytes: bytes) -> None:
    network, _ = split(model_bytes)
    for data in (network, archive(network, ("labels.txt", b"a"))):
        with pytest.raises(ModelCardError, match=r"expected .*card.* inside, found (none|0)") as refused:
            ModelFile.open(write(data))
        assert "edge-convert convert, which writes a card" in (refused.value.hint or "")


def test_two_cards_are_refused(write: Make, model_bytes: bytes) -> None:
    network, members = split(model_bytes)
    with pytest.raises(ModelCardError, match=r"expected one model-card\.json inside, found 2"):
        ModelFile.open(
            write(archive(network, (CARD_NAME, members[CARD_NAME]), (CARD_NAME, members[CARD_NAME])))
        )


def test_a_compressed_card_and_other_files_beside_it_are_fine(write: Make, model_bytes: bytes) -> None:
    network, members = split(model_bytes)
    again = archive(
        network, ("labels.txt", b"a\n"), (CARD_NAME, members[CARD_NAME]), compression=zipfile.ZIP_DEFLATED
    )
    assert ModelFile.open(write(again)).card == ModelFile.open(write(model_bytes)).card


def test_a_card_that_unpacks_to_too_much_is_refused(write: Make, model_bytes: bytes) -> None:
    network, _ = split(model_bytes)
    bomb = archive(network, (CARD_NAME, b" " * (64 << 20)), compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(ModelCardError, match=f"at most {MAX_CARD_BYTES} bytes"):
            ModelFile.open(write(bomb))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_card_edited_in_place_is_refused(write: Make, model_bytes: bytes) -> None:
    edited = model_bytes.replace(b'"name": "pooled-colours"', b'"name": "someone-elses-"')
    assert len(edited) == len(model_bytes)
    assert edited != model_bytes
    with pytest.raises(ModelCardError, match="the model card is damaged"):
        ModelFile.open(write(edited))


def test_a_card_of_another_network_is_refused(write: Make, make_model: Make, model_bytes: bytes) -> None:
    other, _ = split(make_model(seed=1))
    with pytest.raises(ModelError, match="the network does not match its card"):
        ModelFile.open(write(archive(other, *split(model_bytes)[1].items())))


def test_a_changed_byte_anywhere_in_the_network_is_refused(write: Make, model_bytes: bytes) -> None:
    network, _ = split(model_bytes)
    rng = random.Random(0)
    for position in [*range(64), *rng.sample(range(64, len(network)), 300), len(network) - 1]:
        data = bytearray(model_bytes)
        data[position] ^= 1 << rng.randrange(8)
        with pytest.raises(ModelError):
            ModelFile.open(write(bytes(data)))


def test_a_changed_byte_in_the_archive_never_ends_in_another_error(write: Make, model_bytes: bytes) -> None:
    start = len(split(model_bytes)[0])
    central = model_bytes.rindex(b"PK\x01\x02")
    rng = random.Random(1)
    places = [
        *range(central, len(model_bytes)),
        *range(start, start + 64),
        *rng.sample(range(start, central), 100),
    ]
    card = ModelFile.open(write(model_bytes)).card
    for position in places:
        for value in {0, 8, 12, 14, 255, rng.randrange(256)} - {model_bytes[position]}:
            data = bytearray(model_bytes)
            data[position] = value
            path = write(bytes(data))
            for read in (lambda: ModelFile.open(path).card, lambda: split(bytes(data)) and card):  # noqa: B023
                with contextlib.suppress(ModelError):
                    assert read() == card  # time stamps and attributes of the archive may change


@pytest.mark.parametrize("field_offset", [16, 42])
def test_an_archive_whose_sizes_point_outside_the_file_is_refused(
    write: Make, model_bytes: bytes, field_offset: int
) -> None:
    # Offsets in the central directory's entry: CRC-32 and the member's offset (APPNOTE.TXT 4.3.12).
    entry = model_bytes.rindex(b"PK\x01\x02")
    for value in (0, 1, len(model_bytes), 0x7FFFFFFF, 0xFFFFFFFE):
        data = bytearray(model_bytes)
        struct.pack_into("<I", data, entry + field_offset, value)
        with pytest.raises(ModelError):
            ModelFile.open(write(bytes(data)))


def test_a_file_cut_short_anywhere_is_refused(write: Make, model_bytes: bytes) -> None:
    start = len(split(model_bytes)[0])
    for length in [
        1,
        7,
        8,
        100,
        start - 1,
        start,
        start + 1,
        *range(start + 2, len(model_bytes), 97),
        len(model_bytes) - 1,
    ]:
        with pytest.raises(ModelError):
            ModelFile.open(write(model_bytes[:length]))


def test_a_file_with_its_first_bytes_lost_is_refused(write: Make, model_bytes: bytes) -> None:
    for lost in (1, 16, 4096):
        with pytest.raises(ModelError):
            ModelFile.open(write(model_bytes[lost:]))


def test_splitting_gives_the_network_and_the_card(model_bytes: bytes) -> None:
    network, members = split(model_bytes)
    assert list(members) == [CARD_NAME]
    assert hashlib.sha256(network).hexdigest() == ModelCard.from_bytes(members[CARD_NAME]).network_sha256
    assert split(network) == (network, {})
