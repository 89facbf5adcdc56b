"""The installed ``edge-sdk`` in a shell: pipes, terminals, full disks and unusual names."""

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.patience import PATIENCE_S

Run = Callable[..., Any]
PROGRAM = Path(sys.executable).with_name("edge-sdk")
PHRASE = b"four words of mine\n"
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


@pytest.fixture
def image(products: list[Any]) -> Path:
    return products[0].enrol


def test_enrol_and_verify_from_a_shell(
    edge_sdk_process: Run, empty_home: Any, image: Path, products: list[Any]
) -> None:
    assert (
        edge_sdk_process("enrol", "alice", image, *empty_home.all).out == "enrolled alice with 1 template\n"
    )
    done = edge_sdk_process("verify", "alice", image, *empty_home.all, "--threshold", "0.9")
    # Messages of the interpreter are hidden.
    assert (done.code, done.out, done.err) == (0, f"{image}: accepted as alice\n", "")
    assert (
        edge_sdk_process("verify", "alice", products[-1].enrol, *empty_home.all, "--threshold", "0.9").code
        == 1
    )
    assert edge_sdk_process("verify", "bob", image, *empty_home.all, "--threshold", "0.9").code == 3
    assert edge_sdk_process("verify").code == 2


def test_a_full_disk_leaves_the_old_gallery(edge_sdk_process: Run, home: Any, image: Path) -> None:
    before = (home.folder / "home.gallery").read_bytes()
    for command in (["enrol", "bob", str(image), *home.all], ["gallery", "remove", "alice", *home.files]):
        # The limit is for files, not for pipes.
        done = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "sh", PROGRAM, *command],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("edge-sdk: error: cannot write ")
        assert "Traceback" not in done.stderr
        assert (home.folder / "home.gallery").read_bytes() == before
        assert home.names() == {"home.gallery", "home.gallery.audit", "home.gallery.lock", "home.key"}
    assert edge_sdk_process("gallery", "list", *home.files).out == "alice\t1\t\n"


def test_a_folder_that_cannot_be_written_leaves_the_old_gallery(
    edge_sdk: Run, home: Any, image: Path
) -> None:
    home.folder.chmod(0o500)
    try:
        if os.access(home.folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        done = edge_sdk("enrol", "bob", image, *home.all)
        assert done.code == 3
        assert edge_sdk("gallery", "list", *home.files).out == "alice\t1\t\n"
    finally:
        home.folder.chmod(0o700)


def test_something_in_the_way_of_the_new_file_leaves_the_old_gallery(
    edge_sdk: Run, home: Any, image: Path
) -> None:
    (home.folder / "home.gallery.tmp").mkdir()
    done = edge_sdk("enrol", "bob", image, *home.all)
    assert (done.code, "home.gallery.tmp" in done.err) == (3, True)
    assert edge_sdk("gallery", "list", *home.files).out == "alice\t1\t\n"


def test_a_place_where_no_file_can_be_made_is_said(edge_sdk: Run, empty_home: Any, image: Path) -> None:
    done = edge_sdk(
        "enrol",
        "bob",
        image,
        "--model",
        empty_home.model,
        "--gallery",
        "/proc/h.gallery",
        *empty_home.files[2:],
    )
    assert (done.code, "/proc/h.gallery" in done.err) == (3, True)


def test_output_that_cannot_be_written_is_an_error(edge_sdk_process: Run, home: Any) -> None:
    with Path("/dev/full").open("wb") as full:
        done = edge_sdk_process("gallery", "list", *home.files, stdout=full, env=BUFFERED)
    assert done.code == 3
    assert done.err == "edge-sdk: error: cannot read or write: No space left on device\n"


def test_a_reader_that_has_gone_is_not_told_anything(home: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as stdout:  # noqa: PTH123
        done = subprocess.run(
            [PROGRAM, "gallery", "list", *home.files],
            stdout=stdout,
            env=BUFFERED,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stderr) == (3, b"")


def test_a_file_name_that_is_no_text_is_answered(edge_sdk_process: Run, home: Any, image: Path) -> None:
    odd = home.folder / os.fsdecode(b"\xff\xfe.jpg")
    try:
        odd.write_bytes(image.read_bytes())
    except OSError:
        pytest.skip("this file system keeps names that are text only")
    done = edge_sdk_process("verify", "alice", odd, *home.all, "--threshold", "0.9")
    assert (done.code, done.out.endswith(": accepted as alice\n")) == (0, True)
    done = edge_sdk_process("identify", odd, *home.all, "--threshold", "0.9", "--json")
    assert json.loads(done.out)[0]["image"] == str(odd)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_name_can_be_listed_in_every_encoding(
    edge_sdk_process: Run, edge_sdk: Run, home: Any, image: Path, encoding: str
) -> None:
    edge_sdk("enrol", "Zoë 東京", image, *home.all)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = edge_sdk_process("gallery", "list", *home.files, "--json", env=environment)
    assert [entry["subject"] for entry in json.loads(done.out)] == ["alice", "Zoë 東京"]
    assert (
        subprocess.run(
            [PROGRAM, "gallery", "list", *home.files], env=environment, capture_output=True, check=False
        ).returncode
        == 0
    )


# Passphrases


def with_passphrase(home: Any, *command: Any) -> list[str]:
    flags = ("--gallery", home.folder / "words.gallery", "--passphrase")
    return [str(part) for part in (*command, *flags)]


def piped(edge_sdk_process: Run, home: Any, line: bytes, *command: Any) -> Any:
    read, write = os.pipe()
    os.write(write, line)
    os.close(write)
    with open(read, "rb") as stdin:  # noqa: PTH123
        return edge_sdk_process(*with_passphrase(home, *command), stdin=stdin)


def test_a_passphrase_may_come_from_a_pipe(edge_sdk_process: Run, empty_home: Any, image: Path) -> None:
    model = ("--model", empty_home.model)
    done = piped(edge_sdk_process, empty_home, PHRASE, "enrol", "alice", image, *model)
    assert (done.code, done.out, done.err) == (0, "enrolled alice with 1 template\n", "")
    done = piped(edge_sdk_process, empty_home, PHRASE, "gallery", "status", "--json")
    assert json.loads(done.out)["key_name"] == "passphrase"
    done = piped(edge_sdk_process, empty_home, b"some other words\n", "gallery", "list")
    assert (done.code, "wrong key, or the gallery was altered" in done.err) == (3, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "expected a passphrase"),
        (b"\n", "8 characters or more, found 0"),
        (b"short\n", "found 5"),
        (b"\xff" * 9, "in UTF-8"),
    ],
)
def test_a_passphrase_that_is_none_leaves_nothing_behind(
    edge_sdk_process: Run, empty_home: Any, image: Path, line: bytes, message: str
) -> None:
    done = piped(edge_sdk_process, empty_home, line, "enrol", "alice", image, "--model", empty_home.model)
    assert (done.code, message in done.err) == (3, True)
    assert empty_home.names() == set()


@contextlib.contextmanager
def terminal(*command: str) -> Iterator[tuple[Any, int]]:
    """Run the command with a terminal as its stdin and pipes as its stdout and stderr."""
    controller, terminal_end = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *command],
        stdin=terminal_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # otherwise getpass would use the terminal of the tests
        bufsize=0,
    )
    try:
        yield process, controller
    finally:
        process.kill()
        process.communicate()
        os.close(terminal_end)
        os.close(controller)


def answer(process: Any, controller: int, prompt: bytes, line: bytes) -> None:
    """Wait for a prompt on stderr and type a line."""
    output = b""
    while not output.endswith(prompt):
        more = process.stderr.read(1)
        assert more, output
        output += more
    os.write(controller, line)


def test_a_new_passphrase_is_asked_for_twice_on_a_terminal(empty_home: Any, image: Path) -> None:
    command = with_passphrase(empty_home, "enrol", "alice", image, "--model", empty_home.model)
    with terminal(*command) as (process, controller):
        answer(process, controller, b"passphrase: ", PHRASE)
        answer(process, controller, b"passphrase again: ", b"four words of yours\n")
        assert process.wait(PATIENCE_S) == 3
        assert b"edge-sdk: error: the two passphrases differ\n" in process.stderr.read()
    assert empty_home.names() == set()
    with terminal(*command) as (process, controller):
        answer(process, controller, b"passphrase: ", PHRASE)
        answer(process, controller, b"passphrase again: ", PHRASE)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == b"enrolled alice with 1 template\n"
    with terminal(*with_passphrase(empty_home, "gallery", "list")) as (process, controller):
        answer(process, controller, b"passphrase: ", PHRASE)
        assert process.wait(PATIENCE_S) == 0
        assert process.stdout.read() == b"alice\t1\t\n"


def test_an_interrupt_is_said_without_a_traceback(empty_home: Any, image: Path) -> None:
    command = with_passphrase(empty_home, "enrol", "alice", image, "--model", empty_home.model)
    with terminal(*command) as (process, controller):
        answer(process, controller, b"passphrase: ", b"")
        process.send_signal(2)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read().strip() == b"edge-sdk: interrupted"
    assert empty_home.names() == set()
