"""Time the five commands of the README from nothing to an accepted face; photographs of one person stand in for the webcam.

    python -m tools.five_commands --photographs lfw_devtest_raw250.tar --person Amelie_Mauresmo

The first command, `make install`, has run already. The others run as the README states them, with an empty home folder for
each person; the kit is built once. A person is enrolled with the first four photographs and recognized with the others. EDGE_SDK_ZOO may name a folder with the
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
    """Run the commands in a new folder; return 0 if every person was accepted at the first press, otherwise 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photographs", type=Path, required=True, help="archive with one folder per person")
    parser.add_argument(
        "--person", required=True, nargs="+", help="names of folders with seven photographs or more"
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build, *others = commands()
        seconds, code = _time(build, folder, home=folder)
        accepted = 0
        for person in arguments.person if code == 0 else ():
            photographs = _extract(arguments.photographs.absolute(), person, folder)
            total = seconds
            for command in others:
                _show(
                    folder / "camera",
                    photographs[:ENROLLED] if command != others[-1] else photographs[ENROLLED:],
                )
                took, code = _time(command, folder, home=folder / f"home of {person}")
                total += took
                if code:
                    break
            else:
                accepted += 1
                print(f"{total:7.1f} s  {person}: from the installed project to an accepted face", flush=True)
    print(f"accepted at the first press: {accepted} of {len(arguments.person)}")
    return 0 if accepted == len(arguments.person) else 1


def _extract(archive: Path, person: str, folder: Path) -> list[Path]:
    with tarfile.open(archive) as files:
        members = [member for member in files.getmembers() if Path(member.name).parent.name == person]
        files.extractall(folder, members=members, filter="data")
    return sorted((folder / member.name for member in members if member.isfile()), key=str)


def _time(command: str, folder: Path, *, home: Path) -> tuple[float, int]:
    """Run a command with an empty home folder and the folder `camera` as its camera; return seconds and exit code."""
    home.mkdir(exist_ok=True)
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "HOME": str(home), "PATH": f"{scripts}:{os.environ['PATH']}"}
    environment.pop("EDGE_SDK_INSTALLATION", None)
    started = time.perf_counter()
    done = subprocess.run(
        shlex.split(command.replace(CAMERA, f"--camera {folder / 'camera'}")),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    seconds = time.perf_counter() - started
    print(f"{seconds:7.1f} s  exit code {done.returncode}  {command}", flush=True)
    return seconds, done.returncode


def _show(camera: Path, photographs: list[Path]) -> None:
    """Put photographs in front of the camera: a folder that is read like one."""
    camera.mkdir(exist_ok=True)
    for path in camera.iterdir():
        path.unlink()
    for path in photographs:
        (camera / path.name).symlink_to(path)


if __name__ == "__main__":
    sys.exit(main())
