"""Interpreter kernels, or a delegate and its hardware, that run a network during a measurement.

Int8 kernels of different kinds round differently, by several steps of the output. So the evidence names them,
and the cache keeps their embeddings apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from converters.errors import ConversionError
from converters.targets import targets
from edge_sdk.errors import ModelError
from edge_sdk.model.card import ModelCard
from edge_sdk.runtime.backends.delegates import delegate_name
from edge_sdk.runtime.backends.litert import (
    Kernels,
    LiteRtBackend,
    load_interpreter_class,
    partitions_taken,
    runtime_name,
)
from edge_sdk.runtime.golden_check import check


@dataclass(frozen=True)
class Execution:
    """Kernels or delegate that run a network.

    Args:
        kernels: Kernels of LiteRT (default: ``xnnpack``); not with a delegate.
        delegate: Library of a delegate, such as ``libedgetpu.so.1``; empty for the CPU. Loading it runs its code.
        options: (name, value) pairs for the delegate.

    Raises:
        ConversionError: Kernels and a delegate are both given, or options without a delegate.
    """

    kernels: Kernels | None = None
    delegate: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.kernels not in (None, *get_args(Kernels)):
            expected = ", ".join(get_args(Kernels))
            raise ConversionError(f"expected kernels of {expected}, found {self.kernels!r}")
        if self.delegate and self.kernels is not None:
            raise ConversionError("expected kernels or a delegate, found both; give one")
        if self.options and not self.delegate:
            raise ConversionError("expected a delegate for the delegate options, found none")
        if not self.delegate and self.kernels is None:
            object.__setattr__(self, "kernels", "xnnpack")

    @classmethod
    def of_target(cls, target: str) -> Execution:
        """Select the LiteRT kernels that are nearest to a target's computation; XNNPACK for unknown targets."""
        known = targets()
        return cls(known[target].kernels) if target in known else cls()

    @property
    def name(self) -> str:
        """Name in the evidence: ``xnnpack``, ``reference``, or the delegate's file name with its options."""
        return self.kernels or delegate_name(self.delegate, dict(self.options))

    @property
    def runtime(self) -> str:
        """Package and version of the interpreter."""
        return runtime_name(load_interpreter_class())

    def backend(self, network: bytes) -> LiteRtBackend:
        """Prepare a network to run on one thread.

        Raises:
            BackendUnavailableError: The delegate cannot be loaded, or finds no hardware.
            ModelError: The interpreter refuses the network.
            ModelContractError: The network has not one input and one output, or has dynamic shapes.
        """
        return LiteRtBackend(
            network,
            kernels=self.kernels or "xnnpack",
            delegate=self.delegate or None,
            options=dict(self.options),
        )

    def check_delegate(self, network: bytes, card: ModelCard) -> tuple[str, ...]:
        """Check that a delegate runs the network and reproduces the card's golden vectors.

        Returns:
            Notes on the delegate; empty without a delegate.

        Raises:
            BackendUnavailableError: The delegate cannot be loaded.
            ModelError: The delegate leaves the whole network to the CPU, or its answers to the golden vectors are
                wrong, so that no device would use it.
        """
        if not self.delegate:
            return ()
        parts = partitions_taken(network, self.delegate, dict(self.options))
        if not parts:
            raise ModelError(
                f"{self.delegate}: the delegate takes no part of this network, so the CPU would be measured",
                hint="convert for the accelerator's target and compile it; or leave --delegate out",
            )
        if card.golden is None:
            return (
                "no golden vectors in the card to check the delegate with; a device refuses such a delegate",
            )
        golden = check(self.backend(network), card.input, card.golden)
        if not golden.right:
            raise ModelError(
                f"{self.delegate}: {golden.message}",
                hint="a device would not use this delegate either; edge-sdk doctor shows details",
            )
        return (f"golden vectors through the delegate: {golden.message}",)
