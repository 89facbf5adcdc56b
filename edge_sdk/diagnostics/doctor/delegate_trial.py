"""Trial of one delegate on one model in a separate process.

Usage: ``python -m edge_sdk.diagnostics.doctor.delegate_trial MODEL LIBRARY``. The last line of stdout is JSON with the keys
``right`` (outputs are correct), ``found`` (message), ``hint``, and ``partitions`` (number of partitions that the delegate runs).
"""

from __future__ import annotations

import json
import sys
import warnings

from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backend_choice import BackendWarning, open_backend
from edge_sdk.runtime.backends.litert import partitions_taken


def main(model: str, library: str) -> int:
    """Run the trial and print its result; return 0 for correct and for wrong outputs."""
    answer: dict[str, object] = {"right": False, "found": "", "hint": "", "partitions": 0}
    try:
        file = ModelFile.open(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BackendWarning)
            _, status = open_backend(file.data, file.card, delegate=library)
        answer["right"] = not status.fallback
        answer["hint"] = status.advice
        answer["found"] = status.fallback.removeprefix(f"{library}: ") or status.checked
        if not status.fallback:
            answer["partitions"] = partitions_taken(file.data, library)
    except EdgeSdkError as error:
        answer["found"], answer["hint"] = str(error), error.hint or ""
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
