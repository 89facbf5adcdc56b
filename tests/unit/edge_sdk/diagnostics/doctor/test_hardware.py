"""Hardware checks of the doctor on copies of a Raspberry Pi's /sys, /dev and /proc."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_sdk.diagnostics.doctor import CheckResult, CheckStatus
from edge_sdk.diagnostics.doctor.hardware import check_hardware

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def look(root: Path) -> dict[str, CheckResult]:
    return {finding.check: finding for finding in check_hardware(root)}


def test_a_machine_without_anything_lacks_a_camera_and_no_more(tmp_path: Path) -> None:
    results = look(tmp_path)
    assert {name: result.status for name, result in results.items()} == {
        "camera": CheckStatus.WARN,
        "processor": CheckStatus.OK,
    }
    assert "connect a camera" in results["camera"].advice


def test_a_raspberry_pi_is_named(tmp_path: Path) -> None:
    results = look(tree(tmp_path, {"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}))
    assert results["board"].message == "Raspberry Pi 5 Model B Rev 1.0"


@pytest.mark.parametrize(
    ("millidegrees", "status"),
    [
        ("45123\n", CheckStatus.OK),
        ("72000", CheckStatus.WARN),
        ("80000", CheckStatus.FAIL),
        ("-5000", CheckStatus.OK),
    ],
)
def test_heat_is_read_from_the_hottest_zone(tmp_path: Path, millidegrees: str, status: CheckStatus) -> None:
    zones = "sys/class/thermal/thermal_zone"
    root = tree(tmp_path, {f"{zones}0/temp": millidegrees, f"{zones}1/temp": "-40000"})
    assert look(root)["temperature"].status is status


def test_a_sensor_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "N/A"})
    assert "temperature" not in look(root)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ("0", {"throttling": CheckStatus.OK}),
        ("0x50005", {"supply": CheckStatus.FAIL, "throttling": CheckStatus.WARN}),
        ("50000\n", {"supply": CheckStatus.WARN, "throttling": CheckStatus.WARN}),
        ("80008", {"throttling": CheckStatus.WARN}),
    ],
)
def test_the_firmware_says_whether_power_and_cooling_were_enough(
    tmp_path: Path, bits: str, expected: dict[str, CheckStatus]
) -> None:
    results = look(tree(tmp_path, {THROTTLED: bits}))
    assert {name: results[name].status for name in results if name not in ("camera", "processor")} == expected


def test_a_camera_is_named_and_its_reader_looked_for(tmp_path: Path) -> None:
    root = tree(tmp_path, {"dev/video0": "", "sys/class/video4linux/video0/name": "imx708\n"})
    camera = look(root)["camera"]
    assert camera.message.startswith("video0 (imx708)")
    assert camera.status in (CheckStatus.OK, CheckStatus.WARN)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every device")
def test_a_camera_that_may_not_be_read_names_the_group(tmp_path: Path) -> None:
    root = tree(tmp_path, {"dev/video0": ""})
    (root / "dev/video0").chmod(0)
    camera = look(root)["camera"]
    assert camera.status is CheckStatus.FAIL
    assert "usermod -aG video" in camera.advice


@pytest.mark.parametrize(
    "files",
    [
        {"sys/bus/usb/devices/1-1/idVendor": "1a6e\n", "sys/bus/usb/devices/1-1/idProduct": "089a\n"},
        {"sys/bus/usb/devices/1-1/idVendor": "18d1\n", "sys/bus/usb/devices/1-1/idProduct": "9302\n"},
        {"sys/bus/pci/devices/0/vendor": "0x1ac1\n"},
    ],
)
def test_an_edge_tpu_is_recognized(tmp_path: Path, files: dict[str, str]) -> None:
    assert look(tree(tmp_path, files))["edge tpu"].status is CheckStatus.OK


def test_a_google_phone_is_no_edge_tpu(tmp_path: Path) -> None:
    root = tree(
        tmp_path, {"sys/bus/usb/devices/1-1/idVendor": "18d1", "sys/bus/usb/devices/1-1/idProduct": "4ee7"}
    )
    assert "edge tpu" not in look(root)
