"""Time the five commands of the README from nothing to an accepted face; photographs of one person stand in for the webcam.

    python -m tools.five_commands --photographs lfw_devtest_raw250.tar --person Amelie_Mauresmo

The first command, `make install`, has run already. The others run as the README states them, with an empty home folder. The
person is enrolled with the first four photographs and recognized with the others. EDGE_SDK_ZOO may name a folder with the
public networks; otherwise they are downloaded.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = "## A recognizing door in five commands"
CAMERA = "--camera usb"
ENROLLED = 4


def commands() -> list[str]:
    """Return the commands of the README's section after `make install`."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition(HEADING)[2].partition("\n## ")[0]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return block.strip().splitlines()


def main(argv: list[str] | None = None) -> int:
    """Run the commands in a new folder; return the exit code of the first that fails, or 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, required=True, help="archive with one folder per person")
    parser.add_argument("--person", required=True, help="name of a folder with seven photographs or more")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photographs = _extract(arguments.photographs.absolute(), arguments.person, folder)
        return _run(folder, photographs)


def _extract(archive: Path, person: str, folder: Path) -> list[Path]:
    with tarfile.open(archive) as files:
        members = [member for member in files.getmembers() if Path(member.name).parent.name == person]
        files.extractall(folder, members=members, filter="data")
    return sorted(path for path in folder.rglob("*.jpg"))


def _run(folder: Path, photographs: list[Path]) -> int:
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{scripts}:{os.environ['PATH']}"}
    environment.pop("EDGE_SDK_INSTALLATION", None)
    camera = folder / "camera"
    total = 0.0
    for command in commands():
        is_trial = command == commands()[-1]
        _show(camera, photographs[ENROLLED:] if is_trial else photographs[:ENROLLED])
        started = time.perf_counter()
        done = subprocess.run(
            shlex.split(command.replace(CAMERA, f"--camera {camera}")),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        seconds = time.perf_counter() - started
        total += seconds
        print(f"{seconds:7.1f} s  exit code {done.returncode}  {command}", flush=True)
        if done.returncode:
            return done.returncode
    print(f"{total:7.1f} s  from the installed project to an accepted face")
    return 0


def _show(camera: Path, photographs: list[Path]) -> None:
    """Put photographs in front of the camera: a folder that is read like one."""
    camera.mkdir(exist_ok=True)
    for path in camera.iterdir():
        path.unlink()
    for path in photographs:
        (camera / path.name).symlink_to(path)


if __name__ == "__main__":
    sys.exit(main())
