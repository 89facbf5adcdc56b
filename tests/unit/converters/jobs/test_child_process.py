"""A job passes arrays and files to a child process and back, and reports the reason if the child fails."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from converters.jobs.child_process import ChildError, JobResult, run_job

HEAD = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from converters.errors import ConversionError
from converters.jobs.worker import report_progress, serve

def work(request, folder):
"""


def child(folder: Path, body: str) -> tuple[str, str]:
    """Write a worker with this body of ``work`` and return the arguments that run it."""
    script = folder / "worker.py"
    script.write_text(HEAD + "".join(f"    {line}\n" for line in dedent(body).strip().splitlines()))
    with script.open("a") as file:
        file.write("\nserve(Path(sys.argv[1]), work)\n")
    return "-P", str(script)


def run(program: tuple[str, str], **options: float) -> JobResult:
    with run_job(program, {}, **options) as job:  # type: ignore[arg-type]
        return job


def test_arrays_files_and_progress_reach_the_other_side(tmp_path: Path) -> None:
    program = child(
        tmp_path,
        """
        print("a library's message")
        report_progress(0.25)
        np.save(folder / "doubled.npy", 2 * np.load(folder / "values.npy"))
        (folder / "out.bin").write_bytes((folder / "in.bin").read_bytes()[::-1])
        report_progress(1)
        return {"factor": request["factor"]}
        """,
    )
    steps: list[tuple[int, int]] = []
    with run_job(
        program,
        {"factor": 2},
        arrays={"values": np.arange(3)},
        files={"in.bin": b"abc"},
        progress=lambda done, total: steps.append((done, total)),
    ) as job:
        assert job.value == {"factor": 2}
        assert job.array("doubled").tolist() == [0, 2, 4]
        assert job.file("out.bin") == b"cba"
        assert "a library's message" in job.log
    assert steps == [(250, 1000), (1000, 1000)]
    assert not job.folder.exists()


@pytest.mark.parametrize(
    ("body", "end", "message", "hint"),
    [
        (
            "raise ConversionError('no such layer', hint='train again')",
            "reported",
            "no such layer",
            "train again",
        ),
        ("raise ValueError('broken')", "no result", "exited without a result: ValueError: broken", None),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed", "crashed (SIGSEGV)", None),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "crashed",
            "crashed (SIGKILL)",
            "the machine may have run out of memory",
        ),
    ],
)
def test_an_end_without_a_result_is_explained(
    tmp_path: Path, body: str, end: str, message: str, hint: str | None
) -> None:
    with pytest.raises(ChildError) as caught:
        run(child(tmp_path, body))
    assert (caught.value.end, str(caught.value), caught.value.hint) == (end, message, hint)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(ChildError, match=r"took longer than 0\.5 s") as caught:
        run(child(tmp_path, "time.sleep(60)"), timeout_s=0.5)
    assert caught.value.end == "timeout"
