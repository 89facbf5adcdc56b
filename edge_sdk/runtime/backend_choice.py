"""Choose what runs a network: the delegate that was asked for where its answers are right, the CPU otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import ModelError
from edge_sdk.model.card import ModelCard
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check

#: Opens a backend for a delegate, or for the CPU where that is None.
Open = Callable[["str | Path | None"], Backend]


class BackendWarning(UserWarning):
    """What ``BackendStatus`` says as well; a program that says it in its own voice, or decides nothing, ignores it."""


class DelegateWarning(BackendWarning):
    """The CPU runs in the place of a delegate that was asked for."""


class EvidenceWarning(BackendWarning):
    """The card's thresholds were measured with other kernels than the ones that run."""


@dataclass(frozen=True)
class BackendStatus:
    """What runs the network.

    Args:
        runtime: Package and version, such as ``ai-edge-litert 2.3.0``.
        device: ``cpu``, or the delegate's library.
        checked: What the golden vectors said, in words; empty where they were not asked.
        fallback: Why it is not the delegate that was asked for; empty where nothing fell back.
        advice: What to do about that, where it is known.
        evidence: Where the card's thresholds were measured with other kernels: with which, and what runs here.
            Their rates are then not this device's; empty where they are, or where nobody recorded it.
    """

    runtime: str
    device: str
    checked: str = ""
    fallback: str = ""
    advice: str = ""
    evidence: str = ""


def open_backend(
    data: bytes,
    card: ModelCard,
    *,
    threads: int = 1,
    delegate: str | Path | None = None,
    options: Mapping[str, str] | None = None,
) -> tuple[Backend, BackendStatus]:
    """Open a network; a delegate must answer the card's golden vectors first.

    Args:
        data: The whole model file.
        card: Its card.
        threads: Interpreter threads.
        delegate: A delegate's library, or None for the CPU, which is not asked anything.
        options: What to tell the delegate.

    Returns:
        The backend and what it is. Where the delegate is not used, ``DelegateWarning`` says why; where the card's
        thresholds were measured with other kernels, ``EvidenceWarning`` does.

    Raises:
        BackendUnavailableError: No interpreter is installed.
        ModelError: The interpreter refuses the network, or neither the delegate nor the CPU is right.
    """

    def opened(library: str | Path | None) -> Backend:
        told = None if library is None else options
        return LiteRtBackend(data, threads=threads, delegate=library, options=told)

    return choose(opened, card, delegate)


def choose(opened: Open, card: ModelCard, delegate: str | Path | None) -> tuple[Backend, BackendStatus]:
    """The same with the backends behind a seam."""
    backend, status = _chosen(opened, card, delegate)
    evidence = measured_otherwise(card, backend.kernels)
    if evidence:
        warnings.warn(evidence, EvidenceWarning, stacklevel=4)
    return backend, replace(status, evidence=evidence)


def measured_otherwise(card: ModelCard, kernels: str) -> str:
    """Whether thresholds were measured with other kernels than those that run, in words; empty where not.

    Args:
        card: Whose operating points.
        kernels: Of the backend.
    """
    others = sorted({point.kernels for point in card.operating_points} - {kernels, ""})
    if not others:
        return ""
    return f"the card's thresholds were measured with {' and '.join(others)}, here {kernels} computes"


def _chosen(opened: Open, card: ModelCard, delegate: str | Path | None) -> tuple[Backend, BackendStatus]:
    if delegate is None:
        backend = opened(None)
        return backend, BackendStatus(backend.runtime, "cpu")
    found, words, advice = _ask(opened, card, delegate)
    if found is not None:
        return found, BackendStatus(found.runtime, str(delegate), checked=words)
    reason = f"{delegate}: {words.removeprefix(f'{delegate}: ')}"
    try:
        found, words, _ = _ask(opened, card, None)
    except ModelError as error:
        raise ModelError(
            f"{reason}; and the CPU does not run the file: {error}",
            hint="mend the delegate, or give the file that was not compiled for it",
        ) from error
    if found is None:
        raise ModelError(
            f"{reason}; and on the CPU {words}", hint="edge-sdk doctor says more; convert the model again"
        )
    warnings.warn(f"{reason}; the CPU runs the network in its place", DelegateWarning, stacklevel=5)
    return found, BackendStatus(found.runtime, "cpu", checked=words, fallback=reason, advice=advice)


def _ask(opened: Open, card: ModelCard, delegate: str | Path | None) -> tuple[Backend | None, str, str]:
    """Open and ask: the backend, or None where it may not be used, the words for it, and what to do."""
    if card.golden is None:
        if delegate is None:
            return opened(None), "", ""
        return None, "the model card has no golden vectors to hold it against", "convert the model again"
    try:
        backend = opened(delegate)
        found = check(backend, card.input, card.golden)
    except ModelError as error:
        if delegate is None:
            raise
        return None, str(error), error.hint or ""
    return (backend if found.right else None), found.found, ""
