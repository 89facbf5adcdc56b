"""The child's end of a job: read the request, do the work, write the result. See ``child_process``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from converters.errors import ConversionError

REQUEST = "request.json"
RESULT = "result.json"
#: Begins each line of stdout that holds the share of the work that is done.
PROGRESS = b"progress "


def serve(
    folder: Path,
    work: Callable[[Mapping[str, Any], Path], Mapping[str, Any]],
    *,
    explain: Callable[[Exception], tuple[str, str | None]] | None = None,
) -> None:
    """Run the work of a job and write ``result.json``: its value, or the error and its hint.

    Args:
        folder: The job's folder.
        work: Takes the request and the folder, may write arrays and files, and returns JSON values.
        explain: Turns an exception that is not a ConversionError into a message and a hint; such an exception
            ends the process where None.
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
    """Tell the parent the share of the work that is done, 0..1."""
    print(f"{PROGRESS.decode()}{share:.4f}", flush=True)
