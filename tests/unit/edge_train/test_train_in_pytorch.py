"""The page on training in PyTorch runs as written, in small."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("litert_torch")
pytest.importorskip("pytorch_metric_learning")

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "train-in-pytorch.md"


def draw(folder: Path, first_brand: int, brands: int, photos: int) -> None:
    from tools.products.catalogue import product
    from tools.products.photos import EVERYDAY, take_photo

    for brand in range(first_brand, first_brand + brands):
        subject = product(7, brand, 0)
        (folder / subject.name).mkdir(parents=True)
        for number in range(photos):
            (folder / subject.name / f"{number}.jpg").write_bytes(take_photo(subject, number, care=EVERYDAY))


def test_the_page_trains_exports_converts_and_measures(tmp_path: Path) -> None:
    draw(tmp_path / "products", 0, 24, 8)
    draw(tmp_path / "held_out", 900, 40, 4)
    text = PAGE.read_text(encoding="utf-8")
    for name, program in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(program, encoding="utf-8")
    (commands,) = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    script = commands.replace("products/ 400", "products/ 60")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    for form in ("exported", "made"):
        assert (tmp_path / form / "net.cpu_int8.tflite").is_file()
    assert "EER" in done.stdout
