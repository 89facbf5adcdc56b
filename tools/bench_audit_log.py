"""Measure the audit log: cost of the first answer with a full log, cost of a check, bytes written by strangers.

    python -m tools.bench_audit_log [--mib 60]

Times are processor times of this process.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edge_sdk.gallery import AuditEvent, Gallery, InMemoryKey
from edge_sdk.gallery.attempt_counter import Moment
from edge_sdk.gallery.store.audit_log import next_line
from edge_sdk.gallery.store.files import audit_path

MODEL = bytes(32)
KEY = InMemoryKey(b"k" * 32)
ANN, STRANGER = np.eye(8, dtype=np.float32)[:2]


def main() -> None:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=60, help="size of the log, MiB (default: %(default)s)")
    size = parser.parse_args().mib << 20
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "segments.gallery"
        fill_segments(create(path), size)
        measure("a full log in segments", path)
        path = Path(folder) / "file.gallery"
        fill_one_file(create(path), size)
        measure("a log of that size in one file, as of version 1", path)
        print(f"one hour of 5 strangers a second: {strangers(Path(folder) / 'door.gallery')}")


def create(path: Path, **options: Any) -> Gallery:
    """Create a gallery with one subject."""
    gallery = Gallery.create(path, key=KEY, model_id=MODEL, dimension=8, **options)
    gallery.enrol("ann", ANN)
    return gallery


def fill_segments(gallery: Gallery, size: int) -> None:
    """Append entries as a door does, in groups of 500."""
    log = audit_path(gallery._session.environment.path)
    while sum(file.stat().st_size for file in log.parent.glob(f"{log.name}*")) < size:
        gallery._session.note(*[AuditEvent("accepted", "ab" * 16)] * 500)


def fill_one_file(gallery: Gallery, size: int) -> None:
    """Append entries to the current segment without closing it."""
    head, written = gallery._session.content.audit, 0
    with audit_path(gallery._session.environment.path).open("ab") as file:
        while written < size:
            line, head = next_line(head, AuditEvent("rejected"), now_s=1_790_000_000, generation=2, batch=0)
            written += file.write(line)


def measure(what: str, path: Path) -> None:
    """Print the cost of opening, of the first answers, and of a check."""
    before = peak_mib()
    gallery, opening = timed(lambda: Gallery.open(path, key=KEY, model_id=MODEL))
    times = [timed(lambda: gallery.identify(ANN, threshold=0.9))[1] for _ in range(3)]
    listed = ", ".join(f"{1e3 * spent:.0f}" for spent in times)
    print(
        f"{what}: open {1e3 * opening:.0f} ms, first answers {listed} ms, {peak_mib() - before} MiB more memory"
    )
    before = peak_mib()
    report, spent = timed(gallery.audit.report)
    files = len(report.segments)
    print(
        f"  check of {len(report.entries)} entries in {files} files: {spent:.1f} s, "
        f"{peak_mib() - before} MiB more memory, intact: {report.intact}"
    )


def strangers(path: Path) -> str:
    """Return entries and bytes that one hour of rejected answers writes to the log."""
    now_s = [0.0]
    gallery = create(path, uptime=lambda: Moment(b"1" * 16, int(1000 * now_s[0])))
    start = audit_path(path).stat().st_size
    for number in range(5 * 3600):
        now_s[0] = number / 5
        gallery.identify(STRANGER, threshold=0.9)
    log = audit_path(path).read_bytes()[start:]
    lines = log.count(b"\n")
    return f"{lines} entries, {len(log)} bytes"


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and the processor time in seconds."""
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def peak_mib() -> int:
    """Return the largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


if __name__ == "__main__":
    main()
