"""Help and errors of `python -m tools.products`."""

import subprocess
import sys
from pathlib import Path

from tools.products.cli import main
from tools.products.settings import Settings

ROOT = Path(__file__).parents[4]


def test_help_works_from_the_checkout_and_gives_an_example():
    process = subprocess.run(
        [sys.executable, "-m", "tools.products", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python -m tools.products --output samples/products" in process.stdout


def test_a_work_folder_of_another_run_is_an_error_with_a_hint(tmp_path, capsys):
    Settings().claim(tmp_path)
    assert main(["--output", str(tmp_path / "out"), "--work", str(tmp_path), "--epochs", "1"]) == 3
    err = capsys.readouterr().err
    assert "tools.products: error: " in err
    assert "tools.products: hint: " in err
    assert not (tmp_path / "out").exists()


def test_a_missing_network_is_an_error_with_a_hint(tmp_path, capsys):
    assert main(["--output", str(tmp_path), "--evaluate"]) == 3
    assert "no network at" in capsys.readouterr().err


def test_importing_the_tool_loads_no_tensorflow():
    code = "import sys, tools.products.cli, tools.products.publish, tools.products.training; print('tensorflow' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"
