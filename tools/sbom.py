"""Write software bills of materials in CycloneDX 1.6 (ECMA-424), with cyclonedx-bom.

    python -m tools.sbom --output work/sbom

One file for each release of Raspberry Pi OS lists the packages that the door lock installs, with the digests of
their files; `workstation.cdx.json` lists the versions that the converters and tests run with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edge_sdk import __version__
from edge_sdk.extras import DISTRIBUTION
from tools.device_lock import ROOT, SYSTEMS, lock_path

_LOCKS = ROOT / "firmware_examples" / "raspberry_pi_door_lock"


def write_bill(requirements: Path, output: Path) -> None:
    """Write the bill of one list of pinned packages; the same packages give the same bytes.

    Args:
        requirements: Requirement file, all versions pinned.
        output: File to write.

    Raises:
        subprocess.CalledProcessError: cyclonedx-bom failed; it has printed the reason.
    """
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "pyproject.toml"
        project.write_text(
            f'[project]\nname = "{DISTRIBUTION}"\nversion = "{__version__}"\nlicense = "Apache-2.0"\n'
        )
        command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", str(requirements)]
        command += ["--pyproject", str(project), "--mc-type", "library", "--spec-version", "1.6"]
        command += ["--output-reproducible", "--output-format", "JSON", "--output-file", str(output)]
        subprocess.run(command, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bills of the device and of the workstation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="folder to write the files to"
    )
    folder: Path = parser.parse_args(arguments).output
    folder.mkdir(parents=True, exist_ok=True)
    bills = {f"device-{system.release}": lock_path(_LOCKS, system) for system in SYSTEMS}
    for name, requirements in {**bills, "workstation": ROOT / "constraints.txt"}.items():
        write_bill(requirements, folder / f"{name}.cdx.json")
        print(folder / f"{name}.cdx.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
