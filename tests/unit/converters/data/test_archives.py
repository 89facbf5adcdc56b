"""Archives that are made to fill memory or to take time are refused within limits on bytes and members."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from converters.data import archives, tar_members
from converters.data.image_set import ImageSet
from edge_sdk.errors import InputError
from tests.labelled_images import contents
from tests.peak_memory import peak_bytes

MIB = 1 << 20
GIB = 1 << 30
OPEN: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
IMAGE = next(iter(contents(1, 1).values()))


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % tarfile.BLOCKSIZE)


def write(path: Path, *parts: bytes, zeros_mib: int = 0) -> Path:
    """Write a compressed tar from parts; zeros are compressed in steps."""
    with OPEN[path.suffix[1:]](path, "wb") as file:
        for part in parts:
            file.write(part)
        for _ in range(zeros_mib):
            file.write(bytes(MIB))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        images = ImageSet.open(path)
        for name in images.names:
            images.image(name, "rgb")
    return str(caught.value)


HEADERS = {
    "a GNU long name": tarfile.GNUTYPE_LONGNAME,
    "a GNU long link": tarfile.GNUTYPE_LONGLINK,
    "a PAX header": tarfile.XHDTYPE,
    "a global PAX header": tarfile.XGLTYPE,
}


@pytest.mark.parametrize("kind", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_a_huge_header_is_refused_before_it_is_read(tmp_path: Path, kind: bytes, suffix: str) -> None:
    path = write(tmp_path / f"a.tar.{suffix}", header("x", 3 * GIB, kind), zeros_mib=2)
    assert "a header has more than 128 KiB" in refusal(path)


@pytest.mark.parametrize("kind", HEADERS.values(), ids=HEADERS)
def test_a_huge_header_of_a_sparse_file_is_refused_before_it_is_read(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(header("x", 3 * GIB, kind))
    with path.open("r+b") as file:
        file.truncate(3 * GIB + 1024)  # takes no space on the disk
    assert "a header has more than 128 KiB" in refusal(path)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=["PAX", "GNU"])
def test_a_chain_of_headers_is_refused(tmp_path: Path, kind: bytes) -> None:
    link = header("x", 512, kind) + padded(b"20 comment=0123456\n" if kind == tarfile.XHDTYPE else b"name\0")
    path = tmp_path / "a.tar"
    path.write_bytes(link * 5000 + header("s/a.png", len(IMAGE)) + padded(IMAGE))
    assert "expected a readable archive" in refusal(path)


def record(key: str, value: bytes) -> bytes:
    """A record of a PAX header; its length counts itself."""
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


def pax(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    body = b"".join(records)
    return header("x", len(body), kind) + padded(body)


END = bytes(1024)
MEMBER = header("s/a.png", len(IMAGE)) + padded(IMAGE)


def names(path: Path, *parts: bytes) -> tuple[str, ...]:
    path.write_bytes(b"".join(parts) + END)
    return ImageSet.open(path).names


def test_pax_records_of_name_and_size_are_read(tmp_path: Path) -> None:
    records = (
        record("comment", b"9 path=x\n"),
        record("path", b"s/\xc3\xa9.png"),
        record("size", str(len(IMAGE)).encode()),
    )
    path = tmp_path / "a.tar"
    assert names(path, pax(*records), header("short", 0) + padded(IMAGE), MEMBER) == ("s/a.png", "s/\xe9.png")
    assert ImageSet.open(path).read("s/\xe9.png") == IMAGE


@pytest.mark.parametrize("size", [b"-5", b"1e9", b"9" * 5000, b"999999999999", b""])
def test_a_wrong_size_in_a_pax_header_is_refused(tmp_path: Path, size: bytes) -> None:
    with pytest.raises(InputError, match="expected a readable archive"):
        names(tmp_path / "a.tar", pax(record("size", size)), MEMBER)


@pytest.mark.parametrize("body", [b"0 a=b\n", b"99999 a=b\n", b"5 a=", b"7 a=bcd\n", b"1" * 100_000])
def test_a_malformed_pax_header_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(InputError, match="malformed record"):
        names(tmp_path / "a.tar", header("x", len(body), tarfile.XHDTYPE) + padded(body), MEMBER)


def test_global_pax_headers_are_skipped(tmp_path: Path) -> None:
    """`tarfile` keeps all their records and copies them for each member."""
    known = pax(*[record(f"k{k}", b"v") for k in range(5000)], kind=tarfile.XGLTYPE)
    damaged = header("x", 100, tarfile.XGLTYPE) + padded(b"1" * 100)
    assert names(tmp_path / "a.tar", known * 2, damaged, MEMBER) == ("s/a.png",)


def test_extended_headers_and_names_are_limited_over_the_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [pax(record("path", b"s/%d" % k + b"n" * 1000 + b".png")) + header("x", 0) for k in range(40)]
    assert len(names(tmp_path / "a.tar", *parts)) == 40
    monkeypatch.setattr(archives, "MAX_DIRECTORY_BYTES", 20_000)
    with pytest.raises(InputError, match="the names have more than"):
        names(tmp_path / "a.tar", *parts)
    monkeypatch.setattr(tar_members, "MAX_EXTENDED_BYTES", 20_000)
    with pytest.raises(InputError, match="the extended headers have more than"):
        names(tmp_path / "a.tar", *parts)


def test_sparse_members_and_links_are_no_images(tmp_path: Path) -> None:
    sparse = bytearray(header("s/old.png", 512, tarfile.GNUTYPE_SPARSE))
    sparse[482] = 1
    sparse[148:156] = b" " * 8
    sparse[148:156] = b"%06o\0 " % sum(sparse)
    more = bytearray(1024)
    more[504] = 1
    new = (
        pax(record("GNU.sparse.major", b"1"), record("GNU.sparse.name", b"s/new.png"))
        + header("x", 512)
        + bytes(512)
    )
    link = header("s/link.png", 5000, tarfile.SYMTYPE)
    parts = bytes(sparse) + more + bytes(512), new, link, MEMBER
    assert names(tmp_path / "a.tar", *parts) == ("s/a.png",)


def test_a_tar_whose_last_member_is_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("other/b.png", IMAGE)
    content = inner.read_bytes()
    assert names(tmp_path / "a.tar", MEMBER, header("s/c.zip", len(content)), padded(content)) == ("s/a.png",)


def test_images_of_a_compressed_tar_that_fill_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_BASE_KEPT_BYTES", 64 << 10)
    flat = [header(f"s/{k}.png", 32 << 10) + bytes(32 << 10) for k in range(4)]
    assert "its images have more than" in refusal(write(tmp_path / "a.tar.gz", *flat, END))


def test_a_zip_that_expands_to_more_than_a_hundred_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_BASE_UNPACKED_BYTES", 1 << 20)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(8):
            archive.writestr(f"s/{k}.png", bytes(MIB))
    assert "after decompression" in refusal(path)


def test_a_huge_member_that_is_no_image_is_refused_before_it_is_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar.gz", header("s/huge.bin", 6 * GIB), zeros_mib=2)
    assert "ends at byte" in refusal(path)


def test_members_that_expand_to_more_than_a_hundred_times_the_archive_are_refused(tmp_path: Path) -> None:
    """No member is too large by itself; together they expand to 128 MiB from 130 kB."""
    member = header("s/part.bin", 8 * MIB) + bytes(8 * MIB)
    path = write(tmp_path / "a.tar.gz", *[member] * 16)
    assert path.stat().st_size < MIB
    assert "ends at byte" in refusal(path)


@pytest.mark.parametrize("size", [-512, -(1 << 40)])
def test_a_negative_size_is_refused(tmp_path: Path, size: int) -> None:
    """A reader that follows such a size goes backwards and never ends."""
    path = tmp_path / "a.tar"
    path.write_bytes(header("s/a.png", 512) + bytes(512) + header("s/b.png", size) + bytes(1024))
    assert "expected a readable archive" in refusal(path)


def test_a_negative_size_in_a_pax_header_is_refused(tmp_path: Path) -> None:
    pax = b"14 size=-1536\n"
    path = tmp_path / "a.tar"
    path.write_bytes(
        header("x", len(pax), tarfile.XHDTYPE) + padded(pax) + header("s/a.png", 512) + bytes(2048)
    )
    assert "expected a readable archive" in refusal(path)


@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_too_many_members_are_refused(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_OTHER_MEMBERS", 50)
    blocks = b"".join(header(f"s{k}/a.bin", 0) for k in range(60)) + bytes(1024)
    path = tmp_path / f"many.{suffix}"
    path.write_bytes(blocks if suffix == "tar" else gzip.compress(blocks))
    assert "50 that are no images" in refusal(path)


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_compressed_tar_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, cut: float) -> None:
    members = [header(f"s/{k}.png", len(IMAGE)) + padded(IMAGE) for k in range(4)]
    path = write(tmp_path / f"a.tar.{suffix}", *members, bytes(1024))
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    assert "expected a readable archive" in refusal(path)


def test_joined_gzip_streams_are_one_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(
        gzip.compress(header("s/a.png", len(IMAGE))) + gzip.compress(padded(IMAGE) + bytes(1024)) + bytes(64)
    )
    images = ImageSet.open(path)
    assert images.names == ("s/a.png",) and images.read("s/a.png") == IMAGE


def test_an_xz_file_that_needs_much_memory_is_refused(tmp_path: Path) -> None:
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    small = compressor.compress(bytes(4096)) + compressor.flush()
    # Compressing with a dictionary of 1 GiB takes gigabytes, so only its declaration in the block header is changed.
    changed = bytearray(small)
    changed[changed.index(b"\x21\x01", 12) + 2] = 34
    block = bytes(changed[12 : 12 + (changed[12] + 1) * 4 - 4])
    changed[12 + len(block) : 16 + len(block)] = struct.pack("<I", zlib.crc32(block))
    path = tmp_path / "a.tar.xz"
    path.write_bytes(changed)
    assert "emory" in refusal(path)


def lying_zip(claim: int, *, method: int = 8, mib: int = 200) -> bytes:
    """A ZIP archive with one member whose declared size is wrong."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = b"".join(compressor.compress(bytes(MIB)) for _ in range(mib)) + compressor.flush()
    name = b"s/a.png"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 33, 0, len(raw), claim, len(name), 0) + name
    fields = (20, 20, 0, method, 0, 33, 0, len(raw), claim, len(name), 0, 0, 0, 0, 0, 0)
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(raw), 0)
    return local + raw + entry + end


@pytest.mark.parametrize("claim", [0, 100, 64 * MIB, 0xFFFFFFFF])
def test_a_member_of_a_zip_is_read_up_to_its_declared_size(tmp_path: Path, claim: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(lying_zip(claim))
    assert str(path) in refusal(path)


@pytest.mark.parametrize("method", [12, 14, 93, 0xFFFF], ids=["bzip2", "LZMA", "zstd", "unknown"])
def test_other_compressions_of_a_zip_are_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(lying_zip(100, method=method, mib=1))
    assert f"found method {method}" in refusal(path)


def test_a_zip_with_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 10)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for k in range(11):
            archive.writestr(f"s/{k}.png", b"")
    assert "expected at most 10 members, found more" in refusal(path)


def test_damaged_bytes_of_an_archive_give_one_error(tmp_path: Path) -> None:
    """Each byte of the headers of a small archive is changed in three ways."""
    parts = header("s/a.png", len(IMAGE)) + padded(IMAGE) + bytes(1024)
    place = tmp_path / "a.tar"
    read = 0
    for position in range(tarfile.BLOCKSIZE):
        for change in (0x01, 0x80, 0xFF):
            place.write_bytes(parts[:position] + bytes([parts[position] ^ change]) + parts[position + 1 :])
            try:
                read += len(ImageSet.open(place))
            except InputError:
                continue
    assert read < 3 * tarfile.BLOCKSIZE


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_memory_stays_bounded(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.tar.{suffix}", header("x", 300 * MIB, tarfile.XHDTYPE), zeros_mib=300)
    start = (
        "from converters.data.image_set import ImageSet\nfrom edge_sdk.errors import InputError\nimport sys\n"
    )
    opens = "try: ImageSet.open(sys.argv[1])\nexcept InputError: pass\nelse: sys.exit('not refused')\n"
    assert peak_bytes(start + opens, str(path)) - peak_bytes(start) < 100 * MIB
