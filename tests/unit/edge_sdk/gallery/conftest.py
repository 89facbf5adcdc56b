"""Fixtures: a gallery with two subjects, a TPM in software, systemd-creds, and scripts on PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_sdk.gallery import Gallery
from tests.conftest import lacking
from tests.patience import PATIENCE_S
from tests.unit.edge_sdk.gallery.galleries import KEY, MODEL, D, embeddings


def _need(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        lacking(f"needs {', '.join(missing)} (.ci/install-system-packages)")


def _free_port() -> int:
    """Return a port whose successor is free as well; tpm2-tools expect swtpm's control channel there."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no two free ports in a row")


@pytest.fixture
def tpm(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Start a new TPM 2.0 in software (swtpm) for tpm2-tools; yield its address (TCTI)."""
    _need("swtpm", "tpm2_nvdefine")
    with tempfile.TemporaryDirectory() as state:
        process, tcti = _start_tpm(state)
        monkeypatch.setenv("TPM2TOOLS_TCTI", tcti)
        try:
            yield tcti
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)


def _start_tpm(state: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start swtpm and wait until it answers; choose other ports if another process takes them first."""
    for _ in range(20):
        port = _free_port()
        tcti = f"swtpm:host=127.0.0.1,port={port}"
        process = subprocess.Popen(
            [
                "swtpm",
                "socket",
                "--tpm2",
                f"--tpmstate=dir={state}",
                f"--server=type=tcp,port={port}",
                f"--ctrl=type=tcp,port={port + 1}",
                "--flags=not-need-init,startup-clear",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + PATIENCE_S
        environment = {**os.environ, "TPM2TOOLS_TCTI": tcti}
        while process.poll() is None:
            probe = subprocess.run(["tpm2_getcap", "handles-nv-index"], capture_output=True, env=environment)
            if not probe.returncode:
                return process, tcti
            assert time.monotonic() < deadline_s, "swtpm does not answer"
            time.sleep(0.05)
    raise AssertionError("swtpm ended at every start")


@pytest.fixture
def host_credentials() -> None:
    """Skip the test unless systemd-creds can seal with this machine's host key."""
    _need("systemd-creds")
    tried = subprocess.run(
        ["systemd-creds", "encrypt", "--with-key=host", "--name=x", "-", "-"], input=b"x", capture_output=True
    )
    if tried.returncode:
        pytest.skip(f"systemd-creds cannot seal here: {tried.stderr.decode(errors='replace').strip()[-80:]}")


@pytest.fixture
def put_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that puts a shell script first on PATH and returns the script's path."""
    folder = tmp_path / "bin"

    def put(name: str, script: str) -> Path:
        if not folder.exists():
            folder.mkdir()
            monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return put


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a gallery that does not exist yet."""
    return tmp_path / "home.gallery"


@pytest.fixture
def gallery(path: Path) -> Gallery:
    """Return a gallery with ann (one template) and bob (three templates)."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=D)
    with gallery.transaction() as t:
        t.enrol("ann", embeddings(1))
        t.enrol("bob", embeddings(2, 3))
    return gallery
