"""How long a network takes compared with another, on a machine that does other things as well."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

from edge_sdk.model.card import InputContract
from edge_sdk.runtime.backends.litert import LiteRtBackend
from edge_sdk.runtime.quantization import make_encoder
from edge_sdk.types import UInt8Array

TIMED_RUNS = 60
_TIMED_RUNS = 40


def time_ratio(
    network: bytes, reference: bytes, contract: InputContract, crop: UInt8Array, *, runs: int = TIMED_RUNS
) -> float:
    """Time of the fastest inference over the reference's; one thread, in turns.

    Load from elsewhere makes runs slower, never faster, so the fastest say most on a busy machine.

    Args:
        network: A .tflite with one input and one output.
        reference: Another, with the same input contract.
        contract: That contract.
        crop: Shape (H, W, C), uint8.
        runs: Of each.
    """
    invoke: list[Callable[[], None]] = []
    for one in (network, reference):
        backend = LiteRtBackend(one)
        make_encoder(contract, backend.input)(crop, backend.input_view())
        backend.invoke()
        invoke.append(backend.invoke)
    least = [float("inf")] * 2
    for _ in range(runs):
        for position, run in enumerate(invoke):
            start = time.perf_counter()
            run()
            least[position] = min(least[position], time.perf_counter() - start)
    return least[0] / least[1]


def latencies(networks: Sequence[bytes], contract: InputContract, crop: UInt8Array) -> Mapping[bytes, float]:
    """Median milliseconds of one invoke of each, one thread, taken in turns: only the ratios mean anything."""
    backends = {network: LiteRtBackend(network) for network in networks}
    for backend in backends.values():
        make_encoder(contract, backend.input)(crop, backend.input_view())
        backend.invoke()
    times: dict[bytes, list[float]] = {network: [] for network in backends}
    for _ in range(_TIMED_RUNS):
        for network, backend in backends.items():
            start = time.perf_counter()
            backend.invoke()
            times[network].append(1e3 * (time.perf_counter() - start))
    return {network: statistics.median(values) for network, values in times.items()}
