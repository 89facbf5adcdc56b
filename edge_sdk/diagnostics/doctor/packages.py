"""Checks of Python, the C library, and the compiled packages that a device needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from edge_sdk.diagnostics.doctor.check_result import CheckResult, fail, ok, warn
from edge_sdk.errors import EdgeSdkError
from edge_sdk.extras import install_command
from edge_sdk.imports import ImportFailure, reinstall, try_import
from edge_sdk.runtime.backends.litert import PACKAGES, LiteRtBackend

_OLDEST_PYTHON = (3, 10)
#: Machines for which every package has a wheel.
_MACHINES = ("aarch64", "x86_64")
_OLDEST_GLIBC = (2, 28)
_OLDEST_PILLOW = (13,)
# Package, compiled module (its import shows that the wheel fits this machine), extra, consequence if missing.
_PACKAGES = (
    ("numpy", "numpy", "", "nothing runs without it"),
    ("cryptography", "cryptography.hazmat.primitives.ciphers.aead", "gallery", "no gallery opens without it"),
    ("pillow", "PIL._imaging", "images", "image files cannot be read; camera frames can"),
)
# One tensor that is input and output, and no operator: an interpreter built for another numpy loads, but cannot run it.
_SMALLEST_NETWORK = bytes.fromhex(
    "1800000054464c3300000e00140010000c000800000004000e000000100000001c0000008400000003000000010000000800"
    "0000040004000400000001000000100000000c00140010000c00080004000c00000010000000100000001400000018000000"
    "000000000100000000000000010000000000000001000000100000000c000c0008000000000004000c000000080000000c00"
    "00000100000078000000010000000100000000000000"
)


def check_packages() -> Iterator[CheckResult]:
    """Check Python, the machine, the interpreter, and each package with its version."""
    yield _python()
    yield _machine()
    yield _interpreter()
    for package, module, extra, loss in _PACKAGES:
        yield _package(package, module, extra, loss)
    yield from _image_decoder()


def _python() -> CheckResult:
    python = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < _OLDEST_PYTHON:
        return fail("python", python, "use Python 3.10 or newer")
    return ok("python", python)


def _machine() -> CheckResult:
    machine = platform.machine()
    library, release = platform.libc_ver()
    description = f"{machine}, {library or 'a C library that is not glibc'} {release}".strip()
    if machine not in _MACHINES:
        return warn("machine", description, "LiteRT has wheels for aarch64 and x86_64: use a 64-bit system")
    if library != "glibc" or _numbers(release) < _OLDEST_GLIBC:
        return fail("machine", description, "the packages' wheels need glibc 2.28 or newer, as in Debian 11")
    return ok("machine", description)


def _interpreter() -> CheckResult:
    for package, module in PACKAGES.items():
        result = try_import(module, package=package, install=install_command("litert"))
        if isinstance(result, ImportFailure):
            if result.missing:
                continue
            return fail("interpreter", result.message, result.hint)
        interpreter = f"{package} {_version(package)}"
        try:
            LiteRtBackend(_SMALLEST_NETWORK).invoke()
        except EdgeSdkError as error:
            return fail("interpreter", str(error), error.hint or reinstall(package))
        if package == "tflite-runtime":
            return warn("interpreter", interpreter, f"no longer maintained: {install_command('litert')}")
        return ok("interpreter", interpreter)
    return fail("interpreter", "none is installed", install_command("litert"))


def _package(package: str, module: str, extra: str, loss: str) -> CheckResult:
    result = try_import(module, package=package, install=install_command(extra))
    if isinstance(result, ImportFailure):
        if result.missing:
            return warn(package, f"not installed: {loss}", result.hint)
        return fail(package, result.message, result.hint)
    installed = _version(package)
    if package == "pillow" and _numbers(installed) < _OLDEST_PILLOW:
        return warn(
            package,
            f"{installed}: its JPEG decoder has known overflows",
            "update to 13 or newer, or read no files from untrusted sources",
        )
    return ok(package, installed)


def _image_decoder() -> Iterator[CheckResult]:
    try:
        from PIL import features
    except ImportError:
        return  # reported by the check of the package
    lacking = [name for codec, name in (("jpg", "JPEG"), ("zlib", "PNG")) if not features.check(codec)]
    if lacking:
        yield fail("image decoder", f"Pillow was built without {' and '.join(lacking)}", reinstall("pillow"))
    else:
        yield ok("image decoder", "JPEG and PNG")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
