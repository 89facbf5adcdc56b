"""The child's end of a job: read the request, do the work, write the result. See ``child_process``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.errors import ConversionError

REQUEST = "request.json"
RESULT = "result.json"
#: Begins a progress line on stdout; the completed share of the work follows, 0..1.
PROGRESS = b"progress "


def serve(
    folder: Path,
    work: Callable[[Mapping[str, Any], Path], Mapping[str, Any]],
    *,
    explain: Callable[[Exception], tuple[str, str | None]] | None = None,
) -> None:
    """Call ``work`` and write ``result.json``: the value that it returns, or the error that it raises and its hint.

    Args:
        folder: The job's folder.
        work: Takes the request and the folder, may write arrays and files, and returns JSON values.
        explain: Turns an exception other than ConversionError into a message and a hint. If None, such an exception
            ends the process.
    """
    try:
        value = work(json.loads((folder / REQUEST).read_text()), folder)
    except ConversionError as error:
        value = {"error": str(error), "hint": error.hint}
    except Exception as error:
        if explain is None:
            raise
        message, hint = explain(error)
        value = {"error": message, "hint": hint}
    # The parent must never read half a result.
    draft = folder / f"{RESULT}.part"
    draft.write_text(json.dumps(value))
    draft.replace(folder / RESULT)


def report_progress(share: float) -> None:
    """Report the completed share of the work, 0..1, to the parent."""
    print(f"{PROGRESS.decode()}{share:.4f}", flush=True)
