"""Messages to the service manager arrive on path and abstract sockets, as systemd sets them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge_sdk.door.watchdog import LONGEST_INTERVAL_S, ServiceManager
from edge_sdk.errors import InputError


@pytest.mark.parametrize("abstract", [False, True])
def test_the_messages_arrive(tmp_path: Path, abstract: bool) -> None:
    address = f"@edge-sdk-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        service = ServiceManager.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
        service.ready()
        service.alive()
        service.stopping()
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]
    assert service.interval_s == 1.0


def test_without_a_manager_nothing_is_sent() -> None:
    service = ServiceManager.from_environment({})
    service.ready()
    service.alive()
    assert service.interval_s == LONGEST_INTERVAL_S


def test_the_watchdog_of_another_process_is_not_fed(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        environment = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}
        service = ServiceManager.from_environment(environment)
        service.alive()
        service.stopping()
        assert manager.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["/nowhere/notify", "/" + "x" * 200, "@" + "x" * 200])
def test_a_socket_that_is_gone_is_no_error(address: str) -> None:
    service = ServiceManager(address, watchdog_s=1)
    service.ready()
    service.alive()
    service.stopping()


def test_a_manager_that_reads_nothing_does_not_block(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        service = ServiceManager(address, watchdog_s=1)
        for _ in range(2000):
            service.alive()


def test_a_malformed_address_is_refused() -> None:
    with pytest.raises(InputError, match="NOTIFY_SOCKET"):
        ServiceManager("relative/path")
