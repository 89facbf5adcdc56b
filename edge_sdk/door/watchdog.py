"""Notifications to the service manager: ready, alive, stopping (sd_notify(3)), without a library."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

from edge_sdk.errors import InputError

#: Longest interval between two signs of life, seconds.
LONGEST_INTERVAL_S = 2.0
#: Signs of life within the time after which the service manager ends the program.
_SIGNS = 3


class ServiceManager:
    """Service manager that started this program; without one, or if its socket is gone, the methods do nothing.

    A lost message can only end the program: the manager ends a program that gives no sign of life.

    Args:
        address: Path of the manager's socket; a leading ``@`` stands for an abstract socket. Empty without a manager.
        watchdog_s: Time without a sign of life after which the manager ends the program; None if it does not watch.

    Raises:
        InputError: The address is neither an absolute path nor an abstract socket.
    """

    def __init__(self, address: str = "", *, watchdog_s: float | None = None) -> None:
        if address and address[0] not in "/@":
            raise InputError(f"expected an absolute path or @NAME in NOTIFY_SOCKET, found {address!r}")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ServiceManager:
        """Read ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, which systemd sets."""
        time_us, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        watched = time_us.isdecimal() and process in ("", str(os.getpid()))
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog_s=int(time_us) / 1e6 if watched else None)

    @property
    def interval_s(self) -> float:
        """Longest time between two signs of life, seconds."""
        return min(LONGEST_INTERVAL_S, (self._watchdog_s or LONGEST_INTERVAL_S * _SIGNS) / _SIGNS)

    def ready(self) -> None:
        """Report that the start is complete."""
        self._send("READY=1")

    def alive(self) -> None:
        """Give a sign of life."""
        if self._watchdog_s is not None:
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the program ends."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as end:
            end.sendto(message.encode(), self._address)
