"""Emulated ARM machines: qemu's user mode with Debian's Python and the wheels that a device installs.

Each machine is one folder, created once. Debian packages are downloaded with the host's apt, in a separate state
folder, and unpacked. Wheels are downloaded by pip for the other machine. Nothing is installed on the host.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
CACHE = Path(os.environ.get("EDGE_SDK_ARM", REPOSITORY / "work" / "arm"))
# LiteRT 2.3 crashes under qemu 7.2 if it reads x86's /proc/cpuinfo, so this text describes a Cortex-A72 (Raspberry Pi 4).
_CPUINFO = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


class EmulationUnavailableError(Exception):
    """The emulated machine cannot be created; the message states the reason."""


@dataclass(frozen=True)
class Machine:
    """Type of an emulated machine.

    Args:
        name: Name of the machine, as printed by ``uname -m``.
        debian: Debian's name of the architecture.
        emulator: Name of the qemu program.
        cpu: Emulated processor.
        packages: Debian packages in addition to Python.
        wheels: Requirements for pip; extras of setup.cfg in brackets.
        platforms: Wheel platforms, newest first.
        with_dependencies: Install the dependencies of the wheels too.
        libraries: Subfolders in which Debian installs further shared libraries.
    """

    name: str
    debian: str
    emulator: str
    cpu: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    platforms: tuple[str, ...]
    with_dependencies: bool = True
    libraries: tuple[str, ...] = ()


AARCH64 = Machine(
    name="aarch64",
    debian="arm64",
    emulator="qemu-aarch64",
    cpu="cortex-a72",
    packages=(),
    wheels=("[]", "[litert]", "[gallery]", "[images]"),
    platforms=tuple(f"manylinux_2_{minor}_aarch64" for minor in range(36, 16, -1)),
)
#: PyPI has no armv7l wheels of numpy and cffi, so they come from Debian.
ARMV7L = Machine(
    name="armv7l",
    debian="armhf",
    emulator="qemu-arm",
    cpu="cortex-a15",
    packages=("python3-numpy", "python3-cffi-backend"),
    wheels=("tflite-runtime==2.14.0", "cryptography"),
    platforms=tuple(f"manylinux_2_{minor}_armv7l" for minor in range(36, 16, -1)),
    with_dependencies=False,
    libraries=("blas", "lapack"),
)


@dataclass(frozen=True)
class Emulation:
    """Emulated machine that is ready to run Python."""

    machine: Machine
    root: Path
    emulator: Path
    python: Path

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the emulated Python with the repository's packages on its path."""
        debian = self.root / "usr/lib/python3/dist-packages"
        library = self.root / "usr/lib/arm-linux-gnueabihf"
        settings = {
            "PYTHONPATH": _path(self.root / "opt/site", REPOSITORY, debian),
            "LD_LIBRARY_PATH": _path(*(library / name for name in self.machine.libraries)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONNOUSERSITE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command: list[str | Path] = [self.emulator, "-cpu", self.machine.cpu, "-L", self.root]
        for name, value in settings.items():
            if value:
                command += ["-E", f"{name}={value}"]
        return subprocess.run(
            [*command, self.python, *arguments],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )


def prepare(machine: Machine) -> Emulation:
    """Return an emulated machine from the cache, or create it.

    Raises:
        EmulationUnavailableError: apt-get or the network is missing, or a package cannot be downloaded.
    """
    wheels = [line for entry in machine.wheels for line in requirements(entry)]
    key = hashlib.sha256(f"{machine} {wheels} {_CPUINFO}".encode())
    key.update((REPOSITORY / "constraints.txt").read_bytes())
    home = CACHE / f"{machine.name}-{key.hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{machine.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes may need the same machine
        if not home.is_dir():
            draft = CACHE / f"{home.name}.part"
            shutil.rmtree(draft, ignore_errors=True)
            _make(machine, draft)
            draft.rename(home)
    root = home / "root"
    return Emulation(machine, root, _emulator(machine, home), _python(root))


def _make(machine: Machine, home: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise EmulationUnavailableError("needs Debian's apt-get and dpkg to fetch Python for ARM")
    root = home / "root"
    apt = _Apt(home / "apt", machine.debian)
    apt.unpack(root, "python3", "libstdc++6", *machine.packages)
    if not _on_path(machine):
        host = _Apt(home / "apt-host", _output_of("dpkg", "--print-architecture"))
        host.unpack(home / "host", "qemu-user-static", alone=True)
        if not _emulator(
            machine, home
        ).exists():  # since Debian 13 qemu-user-static is empty and qemu-user is static
            host.unpack(home / "host", "qemu-user", alone=True)
    for name in ("apt", "apt-host"):
        shutil.rmtree(home / name, ignore_errors=True)
    (root / "proc").mkdir(exist_ok=True)
    if machine is AARCH64:
        (root / "proc/cpuinfo").write_text(_CPUINFO)
    _install_wheels(machine, root)


class _Apt:
    """apt for another architecture, with separate lists, status and cache, and with the host's sources."""

    def __init__(self, folder: Path, architecture: str) -> None:
        for name in ("lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        self._archives = folder / "cache/archives"
        options = {
            "Dir::State": folder,
            "Dir::State::Lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "APT::Architecture": architecture,
            "APT::Architectures::": architecture,
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "1",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        self._command = ["apt-get", *(part for k, v in options.items() for part in ("-o", f"{k}={v}"))]
        # Ignore errors, because a mirror may be updating an index; a missing package is reported below.
        subprocess.run([*self._command, "update"], capture_output=True, check=False)

    def unpack(self, target: Path, *packages: str, alone: bool = False) -> None:
        """Download and unpack packages, with their dependencies unless ``alone``."""
        target.mkdir(parents=True, exist_ok=True)
        if alone:
            _call([*self._command, "download", *packages], cwd=self._archives)
        else:
            _call(
                [*self._command, "install", "--download-only", "--no-install-recommends", "--yes", *packages]
            )
        for package in sorted(self._archives.glob("*.deb")):
            _call(["dpkg", "-x", str(package), str(target)])


def _install_wheels(machine: Machine, root: Path) -> None:
    version = _python(root).name.removeprefix("python")
    packages = [line for entry in machine.wheels for line in requirements(entry)]
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--only-binary=:all:",
        "--implementation",
        "cp",
    ]
    command += ["--python-version", version, "--target", str(root / "opt/site")]
    command += [part for platform in (*machine.platforms, "any") for part in ("--platform", platform)]
    if machine.with_dependencies:
        command += ["--constraint", str(REPOSITORY / "constraints.txt")]
    else:
        tag = f"cp{version.replace('.', '')}"
        command += ["--no-deps", "--abi", tag, "--abi", "abi3", "--abi", "none"]
    _call([*command, *packages])


def requirements(entry: str) -> list[str]:
    """Return the requirements of an extra in setup.cfg (``[litert]``; ``[]`` for the core), or the entry itself."""
    if not entry.startswith("["):
        return [entry]
    config = configparser.ConfigParser(inline_comment_prefixes=("#",))
    config.read(REPOSITORY / "setup.cfg")
    name = entry.strip("[]")
    text = config["options.extras_require"][name] if name else config["options"]["install_requires"]
    return [line.strip() for line in text.splitlines() if line.strip()]


def _emulator(machine: Machine, home: Path) -> Path:
    installed = _on_path(machine)
    if installed:
        return Path(installed)
    folder = home / "host/usr/bin"
    static = folder / f"{machine.emulator}-static"
    return static if static.exists() else folder / machine.emulator


def _on_path(machine: Machine) -> str | None:
    return shutil.which(machine.emulator) or shutil.which(f"{machine.emulator}-static")


def _python(root: Path) -> Path:
    interpreters = sorted(path for path in (root / "usr/bin").glob("python3.*") if path.name[8:].isdigit())
    if not interpreters:
        raise EmulationUnavailableError("Debian's python3 for ARM was unpacked without an interpreter")
    return interpreters[0]


def _path(*folders: Path) -> str:
    return os.pathsep.join(str(folder) for folder in folders)


def _output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _call(command: Sequence[str], *, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EmulationUnavailableError(f"{command[0]}: {_last(done.stderr.splitlines()) or done.returncode}")


def _last(lines: Iterable[str]) -> str:
    messages = [line.strip() for line in lines if line.strip()]
    errors = [line for line in messages if line.startswith(("E:", "ERROR"))]
    return (errors or messages or [""])[-1]
