"""The audit reports vulnerabilities, and never reports success for packages that were not looked up."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tools import audit_packages
from tools.audit_packages import Audit, read_report, run

VULNERABLE = {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "b", "version": "1", "vulns": []}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("packages", "code"),
    [
        ([CLEAN], 0),
        ([CLEAN, VULNERABLE], 1),
        ([VULNERABLE, UNKNOWN], 1),
        ([CLEAN, UNKNOWN], 3),
        ([UNKNOWN], 3),
        ([], 3),
    ],
)
def test_the_exit_code_is_zero_only_if_every_package_was_looked_up(
    packages: list[dict[str, object]], code: int
) -> None:
    assert read_report(json.dumps({"dependencies": packages})).exit_code == code


def test_a_vulnerability_names_package_identifier_and_fix() -> None:
    report = read_report(json.dumps({"dependencies": [VULNERABLE]}))
    assert report.vulnerable == ("a 1: PYSEC-1, fixed in 2",)


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", '{"dependencies": [{"vulns": [{}]}]}'])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a JSON report of pip-audit"):
        read_report(text)


def test_a_failed_run_is_an_error_with_the_reason(tmp_path: Path) -> None:
    program = tmp_path / "fails.py"
    program.write_text("import sys; sys.exit('the advisory service does not answer')")
    with pytest.raises(ValueError, match="the advisory service does not answer"):
        run([tmp_path / "requirements.txt"], command=(sys.executable, str(program)))


def test_the_worst_file_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = iter([Audit((), 2, ()), Audit((), 1, ("c",)), Audit(("a 1: PYSEC-1, fixed in 2",), 1, ())])
    monkeypatch.setattr(audit_packages, "run", lambda files: next(results))
    assert audit_packages.main(["x", "y", "z"]) == 1
    output = capsys.readouterr()
    assert "PYSEC-1" in output.out and "1 of 2 packages were not looked up, such as c" in output.err
