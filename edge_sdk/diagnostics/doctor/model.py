"""A model file, and whether the CPU and each delegate answer its golden vectors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.diagnostics.doctor.finding import Finding, fail, ok, warn
from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.model_file import ModelFile
from edge_sdk.runtime.backend_choice import kernel_mismatch
from edge_sdk.runtime.backends.delegates import delegate_name
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check

TRIAL_TIMEOUT_S = 120.0
_CONVERT_AGAIN = "convert the model again with this version of edge-convert"


def check_model(
    path: Path, delegates: Sequence[str], *, timeout_s: float = TRIAL_TIMEOUT_S
) -> Iterator[Finding]:
    """Read the file, run its golden vectors on the CPU and through each delegate.

    Args:
        path: The .tflite.
        delegates: Libraries. Each runs in a process of its own: one that crashes takes nothing along.
        timeout_s: How long a delegate may take.
    """
    try:
        file = ModelFile.open(path)
    except EdgeSdkError as error:
        yield fail("model", str(error), error.hint or _CONVERT_AGAIN)
        return
    card = file.card
    yield ok(
        "model", f"{card.name} {card.version}, {card.precision} for {card.target}, {card.input.describe()}"
    )
    if not card.operating_points:
        yield warn(
            "operating points",
            "none: no threshold has evidence",
            "measure them: edge-convert evaluate --write-card, before anyone is enrolled",
        )
    # With delegates to try, it is they that are meant to decide.
    for kernels in [delegate_name(library) for library in delegates] or ["xnnpack"]:
        if evidence := kernel_mismatch(card, kernels):
            yield warn(
                "operating points",
                evidence,
                "their rates are not this device's: edge-convert evaluate --write-card, with --kernels or --delegate",
            )
    yield _on_cpu(file)
    for library in delegates:
        yield _through(library, path, timeout_s)


def _on_cpu(file: ModelFile) -> Finding:
    try:
        backend = LiteRtBackend(file.data)
        if file.card.golden is None:
            return warn("cpu", "it loads; the card has no golden vectors to hold it against", _CONVERT_AGAIN)
        found = check(backend, file.card.input, file.card.golden)
    except EdgeSdkError as error:
        return fail("cpu", str(error), error.hint or "this runtime does not run the file")
    if found.right:
        return ok("cpu", f"{found.found} ({backend.runtime}, {backend.kernels})")
    return fail(
        "cpu",
        f"{found.found} ({backend.runtime}; the file's maker had {file.card.golden.runtime})",
        "do not use it: install the runtime the file was made with, or convert again",
    )


def _through(library: str, path: Path, timeout_s: float) -> Finding:
    advice = "the CPU runs in its place; mend or remove the delegate"
    name = f"delegate {Path(library).name}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "edge_sdk.diagnostics.doctor.delegate_trial", str(path), library],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return fail(name, f"no answer in {timeout_s:g} s", advice)
    if done.returncode < 0:
        return fail(name, f"it crashed ({signal.Signals(-done.returncode).name})", advice)
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return fail(name, f"it ended the process with exit code {done.returncode}", advice)
    if not answer["right"]:
        return fail(name, answer["found"], answer["hint"] or advice)
    if not answer["partitions"]:
        return warn(
            name,
            f"{answer['found']}, but it takes nothing of this network",
            "the CPU does all the work: convert for the accelerator's target",
        )
    return ok(name, answer["found"])
