"""Checks of cameras, accelerators, temperature and power supply, from ``/sys``, ``/dev`` and ``/proc``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edge_sdk.cameras.picamera import import_picamera2
from edge_sdk.diagnostics.doctor.check_result import CheckResult, fail, ok, warn
from edge_sdk.extras import install_command
from edge_sdk.imports import ImportFailure, try_import
from edge_sdk.runtime.threads import default_threads

_EDGE_TPU_USB = {("1a6e", "089a"), ("18d1", "9302")}  # before and after its firmware is loaded
_EDGE_TPU_PCI = "0x1ac1"
_HOT_C, _TOO_HOT_C = 70.0, 80.0  # a Raspberry Pi reduces its clock from 80 degrees
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
# Bits of the Raspberry Pi firmware's get_throttled for "now"; the bits for "since boot" are 16 places higher.
_SUPPLY, _SLOWED = 0x1, 0xE


def check_hardware(root: Path = Path("/")) -> Iterator[CheckResult]:
    """Check board, processor, cameras, accelerators, temperature and throttling.

    Args:
        root: Folder that contains ``sys``, ``dev`` and ``proc``.
    """
    board = _read(root / "proc/device-tree/model")
    if board:
        yield ok("board", board)
    yield ok("processor", f"{os.cpu_count()} cores; networks run on {default_threads()} threads")
    yield _camera(root)
    yield from _edge_tpu(root)
    yield from _temperature(root)
    yield from _throttling(root)


def _camera(root: Path) -> CheckResult:
    # Only an import shows that a package works: it may be built for another numpy.
    results = {
        "picamera2": import_picamera2(),
        "OpenCV": try_import("cv2", package="OpenCV", install=install_command("camera")),
    }
    broken = [
        result for result in results.values() if isinstance(result, ImportFailure) and not result.missing
    ]
    readers = [name for name, result in results.items() if not isinstance(result, ImportFailure)]
    if broken:
        return fail("camera", "; ".join(item.message for item in broken), broken[0].hint)
    devices = sorted((root / "dev").glob("video*"))
    if not devices:
        return warn(
            "camera", "no /dev/video*", "connect a camera; on a Raspberry Pi see: rpicam-hello --list-cameras"
        )
    names = [_read(root / "sys/class/video4linux" / device.name / "name") for device in devices]
    cameras = ", ".join(
        f"{device.name} ({name})" if name else device.name
        for device, name in zip(devices, names, strict=True)
    )
    if not any(os.access(device, os.R_OK | os.W_OK) for device in devices):
        return fail(
            "camera",
            f"{cameras}: not readable for this user",
            "sudo usermod -aG video $USER, then log in again",
        )
    if not readers:
        return warn(
            "camera",
            f"{cameras}; no Python package to read it",
            f"apt install python3-picamera2 (and a venv with --system-site-packages), or {install_command('camera')}",
        )
    return ok("camera", f"{cameras}; read by {' or '.join(readers)}")


def _edge_tpu(root: Path) -> Iterator[CheckResult]:
    usb = {
        (_read(device / "idVendor"), _read(device / "idProduct"))
        for device in (root / "sys/bus/usb/devices").glob("*")
    }
    pci = {_read(device / "vendor") for device in (root / "sys/bus/pci/devices").glob("*")}
    if usb & _EDGE_TPU_USB or _EDGE_TPU_PCI in pci:
        yield ok("edge tpu", "connected; test it with --model FILE --delegate libedgetpu.so.1")


def temperature_c(root: Path = Path("/")) -> float | None:
    """Return the temperature of the hottest sensor in degrees Celsius; None if there is none."""
    degrees = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp")):
        text = _read(zone)
        if text.lstrip("-").isdigit():
            degrees.append(int(text) / 1000)
    return max(degrees, default=None)


def _temperature(root: Path) -> Iterator[CheckResult]:
    hottest = temperature_c(root)
    if hottest is None:
        return
    reading = f"{hottest:.0f} degrees C"
    if hottest >= _TOO_HOT_C:
        yield fail(
            "temperature", f"{reading}: the processor is slowed down", "cool it: a heat sink, a fan, shade"
        )
    elif hottest >= _HOT_C:
        yield warn(
            "temperature", reading, f"near the {_TOO_HOT_C:.0f} degrees at which it slows down: cool it"
        )
    else:
        yield ok("temperature", reading)


def _throttling(root: Path) -> Iterator[CheckResult]:
    text = _read(root / _THROTTLED)
    try:
        bits = int(text, 16)
    except ValueError:
        return  # not a Raspberry Pi
    now, before = bits & 0xF, bits >> 16 & 0xF
    if now & _SUPPLY:
        yield fail("supply", "under-voltage now", "use the board's own power supply and a short cable")
    elif before & _SUPPLY:
        yield warn("supply", "under-voltage since boot", "use the board's own power supply and a short cable")
    if now & _SLOWED:
        yield warn("throttling", "the processor is slowed down now", "cool it and check the supply")
    elif before & _SLOWED:
        yield warn("throttling", "the processor was slowed down since boot", "cool it and check the supply")
    if not now | before:
        yield ok("throttling", "never since boot")


def _read(path: Path) -> str:
    """Read the text of a small file; empty if the file cannot be read."""
    try:
        return path.read_bytes()[:256].decode(errors="replace").strip("\0 \n\t")
    except OSError:
        return ""
