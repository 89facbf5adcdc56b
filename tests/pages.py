"""Pages of the documentation, for tests that read every page."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def is_ours(path: Path) -> bool:
    """Tell whether a file belongs to the project; packages that npm installed do not."""
    return "node_modules" not in path.parts


PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "firmware_examples").rglob("*.md"),
    )
    if is_ours(path)
)
