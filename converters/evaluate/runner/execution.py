"""What runs a network while it is measured: LiteRT's kernels, or a delegate and the hardware behind it.

Scores depend on it: int8 kernels round otherwise, by several steps of the output. So evidence names it, and
embeddings of one are never taken for another's.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.targets import TARGETS
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
    """What runs a network.

    Args:
        kernels: Of LiteRT, where no delegate is named.
        delegate: A delegate's library, such as ``libedgetpu.so.1``; empty for the CPU. Loading it runs its code.
        options: (name, value) each, for the delegate.
    """

    kernels: Kernels = "xnnpack"
    delegate: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_target(cls, target: str) -> Execution:
        """LiteRT's kernels that compute as a target does, or nearest to it; XNNPACK where nobody knows it."""
        return cls(TARGETS[target].kernels) if target in TARGETS else cls()

    @property
    def name(self) -> str:
        """As evidence has it: ``xnnpack``, ``reference``, or the delegate's file name with its options."""
        return delegate_name(self.delegate, dict(self.options)) if self.delegate else self.kernels

    @property
    def runtime(self) -> str:
        """Package and version of the interpreter."""
        return runtime_name(load_interpreter_class())

    def backend(self, network: bytes) -> LiteRtBackend:
        """The network, ready to run, one thread.

        Raises:
            BackendUnavailableError: The delegate cannot be loaded, or finds no hardware.
            ModelError: The interpreter refuses the network.
            ModelContractError: Not one input and one output, or dynamic shapes.
        """
        return LiteRtBackend(
            network, kernels=self.kernels, delegate=self.delegate or None, options=dict(self.options)
        )

    def check_delegate(self, network: bytes, card: ModelCard) -> tuple[str, ...]:
        """Hold a delegate against the card before anything is measured with it.

        Returns:
            What a reader should know of it; nothing where no delegate is named.

        Raises:
            BackendUnavailableError: It cannot be loaded.
            ModelError: It leaves the whole network to the CPU, or answers the golden vectors wrongly, so that no
                device would use it.
        """
        if not self.delegate:
            return ()
        parts = partitions_taken(network, self.delegate, dict(self.options))
        if not parts:
            raise ModelError(
                f"{self.delegate}: it takes nothing of this network, so the CPU would be measured",
                hint="convert for the accelerator's target and compile it; or leave --delegate out",
            )
        if card.golden is None:
            return (
                "no golden vectors in the card to hold the delegate against; the device takes none without",
            )
        found = check(self.backend(network), card.input, card.golden)
        if not found.right:
            raise ModelError(
                f"{self.delegate}: {found.found}",
                hint="a device would not use it either; edge-sdk doctor says more",
            )
        return (f"golden vectors through the delegate: {found.found}",)
