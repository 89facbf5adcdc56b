"""Only its recipient opens an export, and a signed command is executed once."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sdk.errors import (
    CommandRefusedError,
    GalleryError,
    GalleryFormatError,
    InputError,
    ModelMismatchError,
    SealError,
    SubjectExistsError,
    SubjectUnknownError,
)
from edge_sdk.gallery import Gallery, InMemoryKey
from edge_sdk.gallery.exchange import commands
from edge_sdk.gallery.exchange.commands import Command, sign, source_of
from edge_sdk.gallery.exchange.export import HEADER_BYTES
from edge_sdk.gallery.format.content import MAX_SOURCES

KEY = InMemoryKey(bytes(range(32)))
MODEL = hashlib.sha256(b"model").digest()
D = 64
FACES = np.random.default_rng(7).normal(size=(6, D)).astype(np.float32)


def make(path: Path, **options: Any) -> Gallery:
    return Gallery.create(path, key=KEY, **{"model_id": MODEL, "dimension": D, **options})


@pytest.fixture
def home(tmp_path: Path) -> Gallery:
    gallery = make(tmp_path / "home")
    with gallery.transaction() as t:
        t.enrol("ann", FACES[:2], label="second floor", valid_from=1_500_000_000, valid_until=5_000_000_000)
        t.enrol("bob", FACES[2])
        t.enrol("Zoë", FACES[3])
        t.revoke("bob")
    return gallery


@pytest.fixture
def office(tmp_path: Path) -> Gallery:
    return make(tmp_path / "office", dtype="float16", suite="chacha20-poly1305")


def recipient(gallery: Gallery) -> bytes:
    return bytes.fromhex(gallery.status().recipient)


def test_exported_subjects_are_recognized_elsewhere_and_keep_their_restrictions(
    home: Gallery, office: Gallery
) -> None:
    package = home.exchange.export("ann", "bob", recipient=recipient(office))
    assert office.exchange.import_package(package) == ("ann", "bob")
    ann, bob = office.subjects()
    assert (ann.label, ann.templates, ann.valid_from_s, ann.valid_until_s, ann.revoked) == (
        "second floor",
        2,
        1_500_000_000,
        5_000_000_000,
        False,
    )
    assert (bob.templates, bob.revoked) == (1, True)
    assert office.identify(FACES[0], threshold=0.99).subject == "ann"
    assert not office.identify(FACES[2], threshold=0.5).accepted
    content = office._session.content
    assert {row.tobytes().hex() for row in content.subjects["enrolled_by"]} == {home.status().gallery_id}
    assert [e.event.event for e in home.audit.report().entries][-1] == "export"
    assert [e.event.event for e in office.audit.report().entries] == [
        "create",
        "enrol",
        "enrol",
        "accepted",
        "rejected",
    ]


def test_all_subjects_are_exported_by_default(home: Gallery, office: Gallery) -> None:
    assert office.exchange.import_package(home.exchange.export(recipient=recipient(office))) == (
        "ann",
        "bob",
        "Zoë",
    )
    entry = home.audit.report().entries[-1]
    assert entry.event.detail == f"subjects=3,recipient={recipient(office).hex()}"


def test_an_empty_gallery_exports_nobody(home: Gallery, office: Gallery) -> None:
    assert home.exchange.import_package(office.exchange.export(recipient=recipient(home))) == ()


def test_an_export_has_no_content_in_clear(home: Gallery, office: Gallery) -> None:
    package = home.exchange.export("ann", recipient=recipient(office))
    unit = FACES[0] / np.linalg.norm(FACES[0])
    for secret in (
        b"ann",
        b"second floor",
        unit.astype("<f2").tobytes()[:8],
        unit.astype("<f4").tobytes()[:8],
    ):
        assert secret not in package
    assert home.exchange.export("ann", recipient=recipient(office)) != package


def test_only_the_recipient_opens_an_export(home: Gallery, office: Gallery, tmp_path: Path) -> None:
    package = home.exchange.export("ann", recipient=recipient(office))
    for other in (home, make(tmp_path / "other")):
        with pytest.raises(SealError, match="another gallery"):
            other.exchange.import_package(package)
    # Replacing the recipient in the header does not help.
    own = bytearray(package)
    own[48:80] = recipient(home)
    with pytest.raises(SealError):
        home.exchange.import_package(bytes(own))


def test_every_altered_byte_and_every_cut_is_refused_and_nobody_is_enrolled(
    home: Gallery, office: Gallery
) -> None:
    package = home.exchange.export("bob", recipient=recipient(office))
    before = office.status().generation
    for at in range(len(package)):
        altered = bytearray(package)
        altered[at] ^= 1
        with pytest.raises((SealError, GalleryFormatError, ModelMismatchError)):
            office.exchange.import_package(bytes(altered))
    for size in range(0, len(package), 7):
        with pytest.raises((SealError, GalleryFormatError)):
            office.exchange.import_package(package[:size])
    with pytest.raises(SealError):
        office.exchange.import_package(package + b"\0")
    assert office.status().generation == before


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_export(data: bytes) -> None:
    from tests.simulated_file_system import SimulatedFileSystem

    gallery = make(Path("g/g"), filesystem=SimulatedFileSystem())
    with pytest.raises(GalleryFormatError):
        gallery.exchange.import_package(data)


def test_templates_of_another_model_are_refused(home: Gallery, tmp_path: Path) -> None:
    for name, other in (("a", {"model_id": bytes(32)}), ("b", {"dimension": D * 2})):
        gallery = make(tmp_path / name, **other)
        with pytest.raises(ModelMismatchError, match="templates of model"):
            gallery.exchange.import_package(home.exchange.export("ann", recipient=recipient(gallery)))


def test_a_name_that_is_taken_imports_nobody(home: Gallery, office: Gallery) -> None:
    office.enrol("bob", FACES[5])
    with pytest.raises(SubjectExistsError):
        office.exchange.import_package(home.exchange.export(recipient=recipient(office)))
    assert [s.name for s in office.subjects()] == ["bob"]


def test_a_malformed_recipient_and_an_unknown_subject_are_refused(home: Gallery, office: Gallery) -> None:
    for wrong in (b"", bytes(31), bytes(33), bytes(32)):
        with pytest.raises(InputError, match="recipient"):
            home.exchange.export("ann", recipient=wrong)
    with pytest.raises(SubjectUnknownError):
        home.exchange.export("nobody", recipient=recipient(office))


def test_an_export_costs_little_accuracy(home: Gallery, office: Gallery, tmp_path: Path) -> None:
    back = make(tmp_path / "back")
    office.exchange.import_package(home.exchange.export("Zoë", recipient=recipient(office)))
    back.exchange.import_package(office.exchange.export("Zoë", recipient=recipient(back)))
    for gallery, least in ((home, 0.9998), (office, 0.9998), (back, 0.9996)):
        probe = gallery.transform_probe(FACES[3])
        rows = gallery.references().matrix.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert (rows @ probe).max() > least


def test_a_version_of_cryptography_without_hpke_says_the_fix(
    home: Gallery, office: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.hpke", None)
    with pytest.raises(GalleryError, match="exports and captures need HPKE") as caught:
        home.exchange.export("ann", recipient=recipient(office))
    assert "cryptography>=47" in str(caught.value.hint)


PRIVATE = bytes(range(32))
SOURCE = source_of(PRIVATE)
STATE = f"12-{'ab' * 16}"


def command(gallery: Gallery, sequence: int, action: str = "revoke", **fields: Any) -> bytes:
    fields = {"subject": "ann", **fields} if action != "enrol" else fields
    return sign(unsigned(gallery, sequence, action, **fields), PRIVATE)


def unsigned(gallery: Gallery, sequence: int, action: str = "revoke", **fields: Any) -> Command:
    status = gallery.status()
    options = {"source": SOURCE, "gallery_id": bytes.fromhex(status.gallery_id), "now_s": time.time()}
    return Command.for_state(status.state, **{**options, "sequence": sequence, "action": action, **fields})


def revoked(gallery: Gallery) -> list[str]:
    return [s.name for s in gallery.subjects() if s.revoked]


def test_commands_of_an_accepted_source_are_executed_once_and_in_order(home: Gallery, tmp_path: Path) -> None:
    home.exchange.add_source(SOURCE)
    first, second = command(home, 5), command(home, 9, "reinstate")
    done = home.exchange.execute(first)
    assert (done.action, done.subjects, done.sequence) == ("revoke", ("ann",), 5)
    assert revoked(home) == ["ann", "bob"]
    assert home.exchange.sources() == {SOURCE.hex(): 5}
    home.exchange.execute(second)
    assert revoked(home) == ["bob"]
    for replayed in (first, second, command(home, 8), command(home, 1)):
        with pytest.raises(CommandRefusedError, match="is not newer than 9"):
            home.exchange.execute(replayed)
    assert revoked(home) == ["bob"]
    again = Gallery.open(tmp_path / "home", key=KEY)
    with pytest.raises(CommandRefusedError):
        again.exchange.execute(second)
    events = [(e.event.event, e.event.detail) for e in home.audit.report().entries]
    assert ("command", f"source={SOURCE.hex()},sequence=9") in events


def test_a_source_may_enrol_and_erase(home: Gallery, office: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    office.enrol("dan", FACES[5])
    package = office.exchange.export("dan", recipient=recipient(home))
    assert home.exchange.execute(command(home, 1, "enrol", package=package)).subjects == ("dan",)
    assert home.identify(FACES[5], threshold=0.99).subject == "dan"
    done = home.exchange.execute(command(home, 2, "erase", subject="dan"))
    assert done.receipt is not None
    assert not done.receipt.provable
    assert "dan" not in [s.name for s in home.subjects()]
    assert home.exchange.sources() == {SOURCE.hex(): 2}


def test_a_command_that_fails_can_be_sent_again(home: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    sent = command(home, 1, subject="dan")
    with pytest.raises(SubjectUnknownError):
        home.exchange.execute(sent)
    assert home.exchange.sources() == {SOURCE.hex(): 0}
    home.enrol("dan", FACES[5])
    with pytest.raises(CommandRefusedError, match="'dan' was changed in generation"):
        home.exchange.execute(sent)
    home.exchange.execute(command(home, 1, subject="dan"))
    assert "dan" in revoked(home)


def test_an_unknown_or_removed_source_is_refused(home: Gallery) -> None:
    with pytest.raises(CommandRefusedError, match="is not one that the gallery accepts"):
        home.exchange.execute(command(home, 1))
    home.exchange.add_source(SOURCE)
    with pytest.raises(InputError, match="added already"):
        home.exchange.add_source(SOURCE)
    home.exchange.remove_source(SOURCE)
    with pytest.raises(InputError, match="is not one that the gallery accepts"):
        home.exchange.remove_source(SOURCE)
    with pytest.raises(CommandRefusedError, match="is not one that the gallery accepts"):
        home.exchange.execute(command(home, 1))
    for wrong in (b"", bytes(31), bytes(33)):
        with pytest.raises(InputError):
            home.exchange.add_source(wrong)


def test_a_removed_source_keeps_its_last_sequence_number(home: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    home.exchange.execute(command(home, 5))
    home.exchange.remove_source(SOURCE)
    assert home.exchange.sources() == {}
    home.exchange.add_source(SOURCE)
    assert home.exchange.sources() == {SOURCE.hex(): 5}
    home.exchange.execute(command(home, 6, "reinstate"))
    events = [e.event.event for e in home.audit.report().entries][-7:]
    assert events == [
        "add-source",
        "revoke",
        "command",
        "remove-source",
        "add-source",
        "reinstate",
        "command",
    ]
    for number in range(MAX_SOURCES - 1):
        home.exchange.add_source(source_of(number.to_bytes(32, "big")))
        if number % 2:
            home.exchange.remove_source(bytes.fromhex([*home.exchange.sources()][-1]))
    with pytest.raises(InputError, match="removed ones included, found one more"):
        home.exchange.add_source(source_of(bytes([255]) * 32))
    known = bytes.fromhex(next(iter(home.exchange.sources())))
    home.exchange.remove_source(known)
    home.exchange.add_source(known)


def test_a_command_for_another_gallery_is_refused(home: Gallery, office: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    with pytest.raises(CommandRefusedError, match="for the gallery"):
        home.exchange.execute(command(office, 1))


def test_every_altered_bit_of_a_command_is_refused(home: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    sent = command(home, 1)
    for at in range(len(sent)):
        altered = bytearray(sent)
        altered[at] ^= 1 << (at % 7)
        with pytest.raises(CommandRefusedError):
            home.exchange.execute(bytes(altered))
    for size in range(len(sent)):
        with pytest.raises(CommandRefusedError):
            home.exchange.execute(sent[:size])
    assert home.exchange.sources() == {SOURCE.hex(): 0}


def signed(text: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    signature = Ed25519PrivateKey.from_private_bytes(PRIVATE).sign(commands.LABEL + SOURCE + text)
    return f"edge-sdk command 2 {SOURCE.hex()} {signature.hex()}\n".encode() + text


def test_a_malformed_command_is_refused_even_if_its_signature_is_valid(home: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    generation, _, digest = home.status().state.partition("-")
    good = {
        "gallery": home.status().gallery_id,
        "sequence": 1,
        "action": "revoke",
        "subject": "ann",
        "expires": int(time.time()) + 60,
        "generations": [int(generation), int(generation) + 1],
        "state": digest,
    }
    wrong: list[Any] = [
        [],
        None,
        {**good, "sequence": 0},
        {**good, "sequence": 1 << 63},
        {**good, "sequence": 1.5},
        {**good, "sequence": True},
        {**good, "sequence": "1"},
        {**good, "action": "open"},
        {**good, "action": ["revoke"]},
        {**good, "action": "enrol"},
        {**good, "gallery": "zz"},
        {**good, "gallery": 5},
        {**good, "gallery": "00"},
        {**good, "extra": 1},
        {**good, "package": base64.b64encode(b"x").decode()},
        {**good, "subject": ""},
        {**good, "subject": 5},
        *({key: value for key, value in good.items() if key != missing} for missing in good),
        *({**good, "expires": value} for value in (0, -1, 1 << 63, 1e9, True, "1", None)),
        *(
            {**good, "generations": value}
            for value in (5, [], [1], [0, 9], [3, 2], [1, 2, 3], [1, 2.0], "12")
        ),
        {**good, "generations": [int(generation), 1 << 63]},
        *({**good, "state": value} for value in ("", digest[2:], "zz" * 16, 5, None)),
    ]
    for fields in wrong:
        with pytest.raises(CommandRefusedError):
            home.exchange.execute(signed(json.dumps(fields).encode()))
    for text in (b"", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(CommandRefusedError):
            home.exchange.execute(signed(text))
    assert home.exchange.sources() == {SOURCE.hex(): 0}
    home.exchange.execute(signed(json.dumps(good).encode()))
    with pytest.raises(CommandRefusedError, match="at most"):
        home.exchange.execute(bytes(commands.MAX_COMMAND_BYTES + 1))


def test_a_package_for_another_gallery_inside_a_command_is_refused(home: Gallery, office: Gallery) -> None:
    home.exchange.add_source(SOURCE)
    home.enrol("dan", FACES[5])
    package = home.exchange.export("dan", recipient=recipient(office))
    with pytest.raises(SealError):
        home.exchange.execute(command(home, 1, "enrol", package=package))
    assert home.exchange.sources() == {SOURCE.hex(): 0}


def test_a_key_signs_only_for_its_own_source() -> None:
    other = bytes(32)
    made = Command.for_state(
        STATE, now_s=1, source=SOURCE, gallery_id=bytes(16), sequence=1, action="revoke", subject="ann"
    )
    with pytest.raises(InputError, match="not that of"):
        sign(made, other)
    with pytest.raises(InputError, match="expected a private key of 32 bytes, found 5"):
        sign(made, b"short")


def test_signing_refuses_a_package_that_is_no_export(home: Gallery, office: Gallery) -> None:
    """The error then occurs in the back office and not on the device."""
    for package in (b"x", office.exchange.export(recipient=recipient(home))[1:]):
        with pytest.raises(GalleryFormatError, match="expected an export"):
            command(home, 1, "enrol", package=package)
    largest = office.exchange.export(recipient=recipient(home)) + bytes(commands.MAX_COMMAND_BYTES)
    with pytest.raises(InputError, match="expected a command of at most"):
        command(home, 1, "enrol", package=largest)


def test_an_export_has_the_sizes_that_the_format_says(home: Gallery, office: Gallery) -> None:
    package = home.exchange.export("Zoë", recipient=recipient(office))
    content = 64 + 64 + 8 + len("Zoë".encode()) + 0 + 0 + 80
    assert HEADER_BYTES == 96
    assert len(package) == HEADER_BYTES + 32 + content + -content % 64 + 2 * D + 16
