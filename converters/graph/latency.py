"""Measure inference times on this machine; every printed time and every time budget uses this method."""

from __future__ import annotations

import time
from collections.abc import Sequence

from converters.graph.network import Network
from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.types import UInt8Array

TIMED_RUNS = 60


def fastest_ms(
    networks: Sequence[Network], contract: InputContract, crop: UInt8Array, *, runs: int = TIMED_RUNS
) -> dict[Network, float]:
    """Measure the time of the fastest inference of each network, on one thread; the networks take turns.

    Other work on the machine makes single runs slower and never faster, so the minimum is the most repeatable
    figure. Compare only times of the same call.

    Args:
        networks: Networks with one input and one output and the same input contract.
        contract: The input contract.
        crop: Shape (H, W, C), uint8.
        runs: Timed inferences of each network, after one that is not timed.

    Returns:
        Milliseconds by network.
    """
    backends = {network: LiteRtBackend(network.data) for network in networks}
    for backend in backends.values():
        make_encoder(contract, backend.input)(crop, backend.input_view())
        backend.invoke()
    fastest = dict.fromkeys(backends, float("inf"))
    for _ in range(runs):
        for network, backend in backends.items():
            start_s = time.perf_counter()
            backend.invoke()
            fastest[network] = min(fastest[network], 1e3 * (time.perf_counter() - start_s))
    return fastest


def time_ratio(
    network: Network,
    reference: Network,
    contract: InputContract,
    crop: UInt8Array,
    *,
    runs: int = TIMED_RUNS,
) -> float:
    """Divide a network's fastest time by that of the reference; both are measured by ``fastest_ms``."""
    times = fastest_ms([network, reference], contract, crop, runs=runs)
    return times[network] / times[reference]
