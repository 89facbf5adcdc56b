"""Look up known vulnerabilities of the packages that the SDK installs, with pip-audit.

    python -m tools.audit_packages constraints.txt firmware_examples/raspberry_pi_door_lock/requirements-bookworm.txt

The exit code is 0 if every package was looked up and none is vulnerable, 1 if one is, and 3 if the advisory service
knows none of the packages or does not answer. It never reports success for packages that were not looked up.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Audit:
    """Result of looking up packages.

    Args:
        vulnerable: One line per vulnerability: package, version, identifier, versions with a fix.
        looked_up: Number of packages that the service knows.
        unknown: Packages that it does not know.
    """

    vulnerable: tuple[str, ...]
    looked_up: int
    unknown: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0 clean, 1 vulnerable, 3 packages that were not looked up."""
        if self.vulnerable:
            return 1
        return 3 if self.unknown or not self.looked_up else 0


def read_report(text: str) -> Audit:
    """Read the JSON report of pip-audit.

    Raises:
        ValueError: The text is not such a report.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(text)["dependencies"]
        vulnerable = [
            f"{package['name']} {package['version']}: {entry['id']}, fixed in {_versions(entry['fix_versions'])}"
            for package in packages
            for entry in package.get("vulns", ())
        ]
        unknown = [package["name"] for package in packages if "skip_reason" in package]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError("expected a JSON report of pip-audit") from error
    return Audit(tuple(vulnerable), len(packages) - len(unknown), tuple(unknown))


def run(files: Iterable[Path], command: Sequence[str] = (sys.executable, "-m", "pip_audit")) -> Audit:
    """Run pip-audit on requirement files whose versions are all pinned.

    Raises:
        ValueError: pip-audit ended without a report; the message is its own.
    """
    arguments = ["--format", "json", "--progress-spinner", "off", "--no-deps", "--disable-pip"]
    arguments += [part for file in files for part in ("--requirement", str(file))]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if not done.stdout.strip():
        raise ValueError(
            done.stderr.strip().rsplit("\n", 1)[-1] or f"pip-audit ended with exit code {done.returncode}"
        )
    return read_report(done.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the vulnerabilities of all packages of all files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="requirement file, all versions pinned"
    )
    options = parser.parse_args(arguments)
    code = 0
    for file in options.files:
        try:
            audit = run([file])
        except ValueError as error:
            print(f"audit: error: {file}: {error}", file=sys.stderr)
            code = max(code, 3) if code != 1 else 1
            continue
        for line in audit.vulnerable:
            print(line)
        if audit.unknown:
            print(
                f"audit: error: {file}: {len(audit.unknown)} of {audit.looked_up + len(audit.unknown)} packages were "
                f"not looked up, such as {audit.unknown[0]}: the package index has no advisories for them",
                file=sys.stderr,
            )
        print(f"{file}: {audit.looked_up} packages looked up, {len(audit.vulnerable)} vulnerabilities")
        code = 1 if 1 in (code, audit.exit_code) else max(code, audit.exit_code)
    return code


def _versions(versions: Sequence[str]) -> str:
    return " or ".join(versions) or "no version yet"


if __name__ == "__main__":
    sys.exit(main())
