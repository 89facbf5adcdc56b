"""Checks of a model file on the CPU and on each delegate."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_sdk.diagnostics.doctor.check_result import CheckResult, fail, ok, warn
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
) -> Iterator[CheckResult]:
    """Check a model file, and run its golden vectors on the CPU and on each delegate.

    Args:
        path: A .tflite with a model card.
        delegates: Shared libraries. Each runs in a separate process, because a delegate may crash.
        timeout_s: Time limit for each delegate in seconds.
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
    earlier = [f"{point.fmr:g}" for point in card.operating_points if point.fmr_confidence is None]
    if earlier:
        yield warn(
            "operating points",
            f"FMR {', '.join(earlier)} claimed by the earlier rule: the true FMR may be higher",
            "claim them again: edge-convert evaluate --write-card, then edge-sdk gallery policy",
        )
    # Compare with the delegates if any are given, because they would run the network instead of the CPU.
    for kernels in [delegate_name(library) for library in delegates] or ["xnnpack"]:
        if evidence := kernel_mismatch(card, kernels):
            yield warn(
                "operating points",
                evidence,
                "the rates do not hold on this device: measure them with edge-convert evaluate --write-card and its --kernels or --delegate",
            )
    yield _on_cpu(file)
    for library in delegates:
        yield _on_delegate(library, path, timeout_s)


def _on_cpu(file: ModelFile) -> CheckResult:
    try:
        backend = LiteRtBackend(file.data)
        if file.card.golden is None:
            return warn(
                "cpu", "it loads; the card has no golden vectors to check the outputs", _CONVERT_AGAIN
            )
        result = check(backend, file.card.input, file.card.golden)
    except EdgeSdkError as error:
        return fail("cpu", str(error), error.hint or "this runtime does not run the file")
    if result.right:
        return ok("cpu", f"{result.message} ({backend.runtime}, {backend.kernels})")
    return fail(
        "cpu",
        f"{result.message} ({backend.runtime}; the golden vectors are from {file.card.golden.runtime})",
        "do not use it: install the runtime of the golden vectors, or convert again",
    )


def _on_delegate(library: str, path: Path, timeout_s: float) -> CheckResult:
    advice = "the CPU runs in its place; repair or remove the delegate"
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
            f"{answer['found']}, but it takes no part of this network",
            "the CPU does all the work: convert for the accelerator's target",
        )
    return ok(name, answer["found"])
