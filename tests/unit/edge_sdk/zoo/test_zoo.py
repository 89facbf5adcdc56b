"""A zoo model is used only if its digest is the listed one."""

from __future__ import annotations

import datetime
import hashlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_sdk import zoo
from edge_sdk.errors import InputError, ModelError

CONTENT = bytes(range(256)) * 40


def listed(address: str, content: bytes = CONTENT, **changes: object) -> zoo.ZooEntry:
    values = {
        "name": "toy",
        "file": "toy.tflite",
        "address": address,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        **changes,
    }
    return replace(zoo.entry("blazeface-short"), **values)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(zoo.MIRROR, raising=False)
    monkeypatch.setenv("EDGE_SDK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "zoo"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "there" / "toy model.tflite"
    file.parent.mkdir()
    file.write_bytes(CONTENT)
    return file


def left(folder: Path) -> list[str]:
    return sorted(f.name for f in folder.rglob("*")) if folder.exists() else []


def test_what_is_pulled_is_found_again_without_its_source(cache: Path, source: Path) -> None:
    entry = listed(source.as_uri())
    with pytest.raises(ModelError, match="not found") as missing:
        zoo.path(entry)
    assert missing.value.hint == "edge-sdk zoo pull toy"
    assert zoo.pull(entry).read_bytes() == CONTENT
    source.unlink()
    assert zoo.pull(entry) == zoo.path(entry) == cache / "toy.tflite"
    assert left(cache) == ["toy.tflite"]


def test_a_changed_byte_at_the_source_is_refused_and_nothing_is_left(cache: Path, source: Path) -> None:
    source.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ModelError, match="nothing was kept"):
        zoo.pull(listed(source.as_uri()))
    assert left(cache) == []


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_another_size_is_refused_and_nothing_is_left(cache: Path, source: Path, content: bytes) -> None:
    source.write_bytes(content)
    with pytest.raises(ModelError, match="nothing was kept"):
        zoo.pull(listed(source.as_uri()))
    assert left(cache) == []


def test_a_changed_byte_in_the_cache_is_refused_and_pulled_anew(cache: Path, source: Path) -> None:
    entry = listed(source.as_uri())
    kept = zoo.pull(entry)
    kept.write_bytes(b"!" + CONTENT[1:])
    with pytest.raises(ModelError, match="found a different file"):
        zoo.path(entry)
    assert zoo.pull(entry).read_bytes() == CONTENT


def test_a_missing_source_says_how_to_do_without_a_network(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be downloaded") as error:
        zoo.pull(listed((tmp_path / "nowhere").as_uri()))
    assert zoo.MIRROR in (error.value.hint or "")
    assert left(cache) == []


def test_a_mirror_folder_stands_in_for_the_network(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = listed("https://nowhere.invalid/toy", file=source.name)
    monkeypatch.setenv(zoo.MIRROR, str(source.parent))
    assert zoo.pull(entry) == zoo.path(entry) == source
    source.write_bytes(CONTENT[:-1] + b"?")
    for get in (zoo.pull, zoo.path):
        with pytest.raises(ModelError, match="found a different file"):
            get(entry)
    assert not cache.exists()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match="sface, sface-float"):
        zoo.entry("facenet")


@pytest.mark.parametrize(
    "change", [{"address": "http://plain.example/x"}, {"sha256": "abc"}, {"file": "../x"}, {"file": ".x"}]
)
def test_an_entry_that_cannot_be_trusted_cannot_be_made(change: dict[str, str]) -> None:
    with pytest.raises(InputError, match="zoo entry toy"):
        replace(listed("https://example.org/x"), **change)


def test_a_file_without_a_public_address_comes_only_from_a_mirror(
    cache: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = listed("")
    with pytest.raises(ModelError, match="no public address") as error:
        zoo.pull(entry)
    assert zoo.MIRROR in (error.value.hint or "")
    assert left(cache) == []
    monkeypatch.setenv(zoo.MIRROR, source.parent.as_uri())
    assert zoo.pull(entry) == source


def test_entries_are_known_by_name_and_by_digest_and_say_their_licence() -> None:
    assert len({e.name for e in zoo.ENTRIES}) == len({e.sha256 for e in zoo.ENTRIES}) == len(zoo.ENTRIES)
    for entry in zoo.ENTRIES:
        assert zoo.by_digest(entry.sha256) is entry is zoo.entry(entry.name)
        assert entry.licence
        assert entry.file.endswith(".tflite") != bool(entry.conversion)
    assert zoo.by_digest("0" * 64) is None


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        body = CONTENT + b"more" * 100_000 if self.path == "/endless" else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (self.path == "/cut")))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start an https server on this machine with a self-signed certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(secret + certificate.public_bytes(encoding))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    thread = threading.Thread(target=web.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield f"https://127.0.0.1:{web.server_address[1]}"
    web.shutdown()
    web.server_close()
    thread.join()


def test_a_model_comes_over_https_with_its_progress(cache: Path, server: str) -> None:
    seen: list[tuple[int, int]] = []
    file = zoo.pull(listed(f"{server}/toy"), progress=lambda done, total: seen.append((done, total)))
    assert file.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("where", "message"),
    [("missing", "cannot be downloaded"), ("endless", "nothing was kept"), ("cut", "cannot be downloaded")],
)
def test_what_goes_wrong_on_the_way_leaves_nothing(
    cache: Path, server: str, where: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        zoo.pull(listed(f"{server}/{where}"))
    assert left(cache) == []
