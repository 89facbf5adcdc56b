"""Choice of the backend: the requested delegate if its outputs are correct, otherwise the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge_sdk.errors import ModelError
from edge_sdk.model.card import ModelCard
from edge_sdk.plugins import call_plugin, need_plugin
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.golden_check import check

#: Opens the backend for a delegate's library, or for the CPU if None.
OpenBackend = Callable[["str | Path | None"], Backend]


class BackendWarning(UserWarning):
    """Base class of warnings about the backend; ``BackendStatus`` contains the same information."""


class DelegateWarning(BackendWarning):
    """The CPU runs the network instead of the requested delegate."""


class EvidenceWarning(BackendWarning):
    """The card's thresholds were measured with kernels other than the running ones."""


@dataclass(frozen=True)
class BackendStatus:
    """Backend that runs the network, and how it was chosen.

    Args:
        runtime: Package and version, such as ``ai-edge-litert 2.3.0``.
        device: ``cpu``, or the delegate's library.
        checked: Result of the golden vectors, in words; empty if they were not run.
        fallback: Reason for not using the requested delegate; empty if there was no fallback.
        advice: What to do about the fallback, if known.
        evidence: Kernels with which the card's thresholds were measured, if they differ from the running ones: the
            measured rates do not hold on this device. Empty if they are the same or were not recorded.
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
    """Open a network on a delegate whose outputs match the card's golden vectors, otherwise on the CPU.

    Args:
        data: Content of the model file.
        card: Its card.
        threads: Number of interpreter threads, 1 or more.
        delegate: A delegate's library. None opens the CPU, without a check.
        options: Options of the delegate.

    Returns:
        The backend and its status. ``DelegateWarning`` is issued if the delegate is not used, ``EvidenceWarning`` if
        the card's thresholds were measured with other kernels.

    Raises:
        BackendUnavailableError: No interpreter is installed.
        ModelError: The interpreter refuses the network, or neither the delegate nor the CPU gives correct outputs.
    """

    def open_one(library: str | Path | None) -> Backend:
        return LiteRtBackend(
            data, threads=threads, delegate=library, options=None if library is None else options
        )

    return choose_backend(open_one, card, delegate)


def open_backend_plugin(
    name: str, data: bytes, card: ModelCard, *, threads: int = 1
) -> tuple[Backend, BackendStatus]:
    """Open a network with a backend plug-in, whose outputs must match the card's golden vectors.

    Args:
        name: Name of an entry point in the group ``edge_sdk.backends``.
        data: Content of the model file.
        card: Its card.
        threads: Number of threads, 1 or more.

    Raises:
        InputError: No plug-in has this name.
        PluginError: The plug-in cannot be loaded.
        ModelError: The card has no golden vectors, or the outputs do not match them.
    """
    opened: Backend = call_plugin(need_plugin("edge_sdk.backends", name), data, threads=threads)
    if card.golden is None:
        raise ModelError(
            f"backend {name}: the model card has no golden vectors to check it",
            hint="convert the model again",
        )
    result = check(opened, card.input, card.golden)
    if not result.right:
        raise ModelError(f"backend {name}: {result.message}", hint="omit the backend to use LiteRT")
    evidence = kernel_mismatch(card, opened.kernels)
    if evidence:
        warnings.warn(evidence, EvidenceWarning, stacklevel=3)
    return opened, BackendStatus(opened.runtime, name, checked=result.message, evidence=evidence)


def choose_backend(
    open_one: OpenBackend, card: ModelCard, delegate: str | Path | None
) -> tuple[Backend, BackendStatus]:
    """Choose a backend as `open_backend` does; `open_one` opens each candidate."""
    backend, status = _choose(open_one, card, delegate)
    evidence = kernel_mismatch(card, backend.kernels)
    if evidence:
        warnings.warn(evidence, EvidenceWarning, stacklevel=4)
    return backend, replace(status, evidence=evidence)


def kernel_mismatch(card: ModelCard, kernels: str) -> str:
    """Describe the card's measurements with kernels other than the running ones; empty if there are none.

    Args:
        card: Card with the operating points.
        kernels: Kernels of the running backend.
    """
    others = sorted({point.kernels for point in card.operating_points} - {kernels, ""})
    if not others:
        return ""
    return f"the card's thresholds were measured with {' and '.join(others)}, but {kernels} is used here"


def _choose(
    open_one: OpenBackend, card: ModelCard, delegate: str | Path | None
) -> tuple[Backend, BackendStatus]:
    if delegate is None:
        backend = open_one(None)
        return backend, BackendStatus(backend.runtime, "cpu")
    checked, message, advice = _open_checked(open_one, card, delegate)
    if checked is not None:
        return checked, BackendStatus(checked.runtime, str(delegate), checked=message)
    reason = f"{delegate}: {message.removeprefix(f'{delegate}: ')}"
    try:
        checked, message, _ = _open_checked(open_one, card, None)
    except ModelError as error:
        raise ModelError(
            f"{reason}; and the CPU does not run the file: {error}",
            hint="repair the delegate, or use the file that was not compiled for it",
        ) from error
    if checked is None:
        raise ModelError(
            f"{reason}; and on the CPU {message}",
            hint="run edge-sdk doctor for details, and convert the model again",
        )
    warnings.warn(f"{reason}; the CPU runs the network in its place", DelegateWarning, stacklevel=5)
    return checked, BackendStatus(checked.runtime, "cpu", checked=message, fallback=reason, advice=advice)


def _open_checked(
    open_one: OpenBackend, card: ModelCard, delegate: str | Path | None
) -> tuple[Backend | None, str, str]:
    """Open a backend and check its outputs.

    Returns:
        The backend, or None if it must not be used; a message that describes the result; and advice.
    """
    if card.golden is None:
        if delegate is None:
            return open_one(None), "", ""
        return None, "the model card has no golden vectors to check it", "convert the model again"
    try:
        backend = open_one(delegate)
        result = check(backend, card.input, card.golden)
    except ModelError as error:
        if delegate is None:
            raise
        return None, str(error), error.hint or ""
    return (backend if result.right else None), result.message, ""
