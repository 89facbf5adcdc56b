"""Inspect a .tflite file: model card, operators, partitions and sizes."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.analyze.contract import graph_suggestion
from converters.errors import SourceError
from converters.graph.graph import Graph
from converters.graph.network import Network
from converters.graph.partitions import xnnpack_partitions
from converters.graph.structure import analysis
from edge_sdk.errors import ModelCardError
from edge_sdk.escaping import escaped_line
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split
from edge_sdk.model.model_id import space_id
from edge_sdk.model.operating_point import OperatingPoint

# Lines of a card are wrapped at this width.
_WIDTH = 110


@dataclass(frozen=True)
class Tensor:
    """An input or output of the network."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Inspection:
    """Properties of a .tflite file.

    Args:
        file: File name.
        sha256: SHA-256 of the whole file, hex.
        space_id: Id of the embedding space, to which galleries are bound, hex; None if there is no card.
        size_bytes: Size of the whole file.
        constant_bytes: Size of the constants in the file.
        inputs: Inputs of the network.
        outputs: Outputs of the network.
        operators: Number of occurrences of each operator.
        partitions: Number of XNNPACK partitions on this machine, None if the network does not load.
        outside: Operators that XNNPACK does not run, so that slower kernels run them.
        loads: Error of loading the network on this machine; empty if it loads. The name is a JSON key.
        card: The model card as JSON values, None if there is none.
        normalization: Normalization at the beginning of a float network as a formula; empty if there is none.
        suggested_contract: Options of the input contract that this normalization suggests; empty if there is none.
    """

    file: str
    sha256: str
    space_id: str | None
    size_bytes: int
    constant_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: Mapping[str, int]
    partitions: int | None
    outside: tuple[str, ...]
    loads: str
    card: Mapping[str, Any] | None
    normalization: str = ""
    suggested_contract: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the properties as JSON values."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the properties as text for a terminal."""
        lines = [
            f"{self.file}: {self.size_bytes:,} bytes, {self.constant_bytes:,} of constants",
            f"sha256     {self.sha256}",
        ]
        if self.space_id is not None:
            lines.append(f"space id   {self.space_id}")
        for label, tensors in (("input", self.inputs), ("output", self.outputs)):
            lines += [f"{label:<10} {t.name} {list(t.shape)} {t.dtype}" for t in tensors]
        if self.normalization:
            suggested = (
                f"; this suggests the contract {self.suggested_contract}" if self.suggested_contract else ""
            )
            lines.append(f"normalizes {self.normalization}{suggested}")
        counts = ", ".join(f"{count} {name}" for name, count in self.operators.items())
        lines.append(f"operators  {sum(self.operators.values())}: {counts}")
        if self.partitions is None:
            lines.append(f"XNNPACK    does not load: {self.loads}")
        else:
            outside = f", outside: {', '.join(sorted(set(self.outside)))}" if self.outside else ""
            lines.append(
                f"XNNPACK    {self.partitions} partition{'s' if self.partitions != 1 else ''}{outside}"
            )
        if self.card is None:
            lines.append("card       none; edge-convert convert writes one")
        else:
            card = dict(self.card)
            points = [OperatingPoint.from_json(point) for point in card.get("operating_points", ())]
            card["operating_points"] = {str(k): p.describe() for k, p in enumerate(points, 1)} or "none"
            lines += ["card", *_card_lines(card)]
        return "\n".join(map(escaped_line, lines))


def inspect(path: str | Path) -> Inspection:
    """Inspect a .tflite file.

    Raises:
        ModelError: The file is missing, unreadable or not a .tflite.
        SourceError: The file is damaged.
        ModelCardError: The model card is damaged, or the network does not match it.
    """
    data = read_model_bytes(path)
    check_identifier(data, path)
    flatbuffer, files = split(data)
    network = Network(flatbuffer)
    card = ModelCard.from_bytes(files[CARD_NAME]) if CARD_NAME in files else None
    if card is not None and network.digest != card.network_sha256:
        raise ModelCardError(
            f"{path}: the network does not match its card",
            hint="the file is damaged or was edited; copy it again or convert again",
        )
    with analysis(path):
        return _inspection(path, data, network, card)


def _inspection(path: str | Path, data: bytes, network: Network, card: ModelCard | None) -> Inspection:
    graph = network.graph
    try:
        partitions = xnnpack_partitions(network)
        count, outside, loads = partitions.count, partitions.outside, ""
    except (ValueError, RuntimeError, SourceError) as error:
        # A file for an accelerator does not load without the accelerator, but can be inspected.
        count, outside, loads = None, (), str(error).splitlines()[0]
    normalization, suggested = graph_suggestion(graph)
    return Inspection(
        file=Path(path).name,
        sha256=hashlib.sha256(data).hexdigest(),
        space_id=None if card is None else space_id(card.network_sha256, card.input).hex(),
        size_bytes=len(data),
        constant_bytes=sum(len(b.data) for b in graph.model.buffers if b.data is not None),
        inputs=tuple(_tensor(graph, i) for i in graph.inputs),
        outputs=tuple(_tensor(graph, i) for i in graph.outputs),
        operators=graph.operator_counts(),
        partitions=count,
        outside=outside,
        loads=loads,
        card=None if card is None else card.to_json(),
        normalization=normalization,
        suggested_contract=suggested,
    )


def _tensor(graph: Graph, index: int) -> Tensor:
    dtype = graph.dtype_name(index)
    quantization = graph.tensors[index].quantization
    if quantization is not None and quantization.scale is not None and len(quantization.scale) == 1:
        dtype += f", scale {float(quantization.scale[0]):.6g}, zero point {int(quantization.zeroPoint[0])}"
    return Tensor(graph.name(index), graph.shape(index), dtype)


def _card_lines(value: Any, indent: str = "  ") -> list[str]:
    """Format the fields of a card; only ``--json`` shows long tables, and all digits of a number."""
    lines = []
    for key, entry in value.items():
        if key == "golden" and entry:  # only --json shows the digests and base64 texts
            lines.append(
                f"{indent}golden: {len(entry['vectors'])} answers of {entry['runtime']}, {entry['kernels']}"
            )
        elif isinstance(entry, dict) and entry:
            lines += [f"{indent}{key}", *_card_lines(entry, indent + "  ")]
        elif isinstance(entry, (list, tuple)) and any(isinstance(item, dict) for item in entry):
            lines.append(f"{indent}{key}: {len(entry)} rows (--json shows them)")
        elif entry not in ("", [], {}, None):
            lines += textwrap.wrap(
                f"{indent}{key}: {_rounded(entry)}",
                _WIDTH,
                subsequent_indent=indent + "  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return lines


def _rounded(entry: Any) -> str:
    """Format an entry of a card, numbers with six digits."""
    if isinstance(entry, (list, tuple)):
        return ", ".join(map(_rounded, entry))
    return f"{entry:.6g}" if isinstance(entry, float) else str(entry)
