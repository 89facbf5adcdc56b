"""The target ``mobile``: float16 for a phone's GPU, int8 for its CPU or NNAPI, with assets for an app."""

from __future__ import annotations

import base64
import glob
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from converters.errors import TargetError
from converters.graph.graph import Graph
from converters.graph.metadata import BUFFER_NAME
from converters.graph.network import Network
from converters.graph.rewrites.uint8_io import convert_io_to_uint8
from converters.targets.base import ArtefactFile, FinishResult, Target
from converters.targets.cpu import target as cpu
from converters.targets.mobile.operators import OPERATORS, TABLE
from converters.targets.operator_table import is_integer, output, unsupported_operators
from converters.targets.rule import RuleFinding, join_names
from converters.targets.shared_rules import no_custom_operators, no_variables, static_shapes
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.model.card import CARD_NAME
from edge_sdk.model.golden import golden_input
from edge_sdk.model.model_file import split

_IDENTIFIER = b"M001"


def gpu_takes_it(graph: Graph) -> Iterator[RuleFinding]:
    """In a float network, the GPU delegate runs every operator; an operator that it does not support runs on the CPU, with copies in both directions."""
    if any(is_integer(graph, output(operator)) for operator in graph.operators):
        return
    kinds = Counter(
        (graph.op_name(graph.operators[position]), reason)
        for position, reason in unsupported_operators(TABLE, graph).items()
    )
    for (name, reason), count in sorted(kinds.items(), key=lambda kind: -kind[1]):
        yield RuleFinding(
            "slow",
            f"{count} {name} run on the CPU while the GPU waits: {reason}",
            "replace the layer, or run the int8 file on the CPU",
        )


def one_image_at_a_time(graph: Graph) -> Iterator[RuleFinding]:
    """The batch size is 1, because the GPU delegate compiles for a fixed size and an app embeds one crop at a time."""
    for index in graph.inputs:
        shape = graph.shape(index)
        if len(shape) > 1 and shape[0] not in (1, -1):
            yield RuleFinding(
                "refused",
                f"a batch of {shape[0]}",
                "convert with edge-convert, which writes batch 1 for any source",
            )


def one_input_one_output(graph: Graph) -> Iterator[RuleFinding]:
    """The network has one input, an image or an array, and one output, the embedding."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        yield RuleFinding(
            "refused",
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs",
            "remove all other inputs and outputs",
        )


def whole_for_nnapi(graph: Graph) -> Iterator[RuleFinding]:
    """An integer network has no float operators, because NNAPI and vendors' delegates split the network at each of them."""
    integer = sum(is_integer(graph, output(operator)) for operator in graph.operators)
    islands = Counter(
        graph.op_name(operator)
        for operator in graph.operators
        if integer
        and graph.dtype_name(output(operator)) == "float32"
        and graph.op_name(operator) != "DEQUANTIZE"
    )
    if islands:
        counts = join_names([f"{count} {name}" for name, count in islands.most_common()])
        yield RuleFinding(
            "note",
            f"operators that compute in float: {counts}; the CPU runs the network in one partition, NNAPI splits it into several",
            "for an NPU that is used through NNAPI, try --target ethos-u or edgetpu, which write full int8 if all operators"
            " have an int8 form",
        )


def adapt(network: Network) -> Network:
    """Change input and output of an integer network to uint8, because Android's TensorImage and MediaPipe do not support int8."""
    graph = network.edit()
    convert_io_to_uint8(graph)
    return Network.of(graph)


def require_metadata(artefact: ArtefactFile) -> None:
    """Check that a file contains the TFLite Metadata and the model card that readers on Android and iOS need.

    Raises:
        TargetError: One of them is missing.
    """
    graph = artefact.network.graph
    buffers = {
        (m.name.decode() if isinstance(m.name, bytes) else m.name): m.buffer
        for m in graph.model.metadata or []
    }
    index = buffers.get(BUFFER_NAME)
    content = b"" if index is None else bytes(graph.model.buffers[index].data)
    if content[4:8] != _IDENTIFIER or CARD_NAME not in split(artefact.data)[1]:
        raise TargetError(
            f"mobile: expected TFLite Metadata ({_IDENTIFIER.decode()}) and {CARD_NAME} in the file, at least one is missing",
            hint="convert again; another tool may have removed the appended archive",
        )


def finish(artefact: ArtefactFile) -> FinishResult:
    """Write the model card and the golden vectors as JSON assets for an app and its tests."""
    require_metadata(artefact)
    card = split(artefact.data)[1][CARD_NAME]
    files = {f"{artefact.stem}.card.json": card}
    golden = json.loads(card).get("golden")
    if golden:
        files[f"{artefact.stem}.golden.json"] = _golden_asset(artefact, golden)
    return FinishResult(files=files)


def _golden_asset(artefact: ArtefactFile, golden: dict[str, Any]) -> bytes:
    """Return the card's golden vectors with their inputs, so that an app's test needs no generator."""
    contract = artefact.card.input
    name = "values" if isinstance(contract, ArrayContract) else "pixels"
    asset = {
        "schema": "edge-sdk/golden-asset/1",
        "file": artefact.file,
        "sha256": hashlib.sha256(artefact.data).hexdigest(),
        "input": _input_form(contract),
        **golden,
        "vectors": [
            {**vector, name: base64.b64encode(golden_input(contract, vector["seed"]).tobytes()).decode()}
            for vector in golden["vectors"]
        ],
    }
    return (json.dumps(asset, indent=1, ensure_ascii=False) + "\n").encode()


def _input_form(contract: AnyContract) -> dict[str, Any]:
    if isinstance(contract, ArrayContract):
        return {"shape": list(contract.shape), "order": f"rows of {contract.dtype}, little-endian"}
    color = "gray" if contract.color == "gray" else "RGB"
    return {
        "height": contract.height,
        "width": contract.width,
        "channels": contract.channels,
        "order": f"rows of {color}, uint8",
    }


_RULES = (
    static_shapes,
    no_variables,
    no_custom_operators,
    one_image_at_a_time,
    one_input_one_output,
    gpu_takes_it,
)

TARGET = Target(
    name="mobile",
    summary="an Android or iOS app: float16 for the GPU delegate, int8 for the CPU and NNAPI",
    recipes={"float16": "float16", "mobile_int8": "cpu_int8"},
    network_rules=_RULES,
    file_rules=(*_RULES, cpu.xnnpack_takes_it, whole_for_nnapi),
    adapt=adapt,
    operators=OPERATORS,
    confirm=cpu.confirm,
    finish=finish,
    by_products=lambda stem: (f"{glob.escape(stem)}.golden.json",),
    on_xnnpack=True,
    notes=(
        "float16 stores weights in half precision. GPU delegates compute with them directly; CPUs convert them to float32 once, on loading.",
        "mobile_int8 is the network of cpu_int8, not full int8: a phone runs int8 on XNNPACK, and NNAPI is deprecated since Android 15."
        " Input and output are uint8, because Android's TensorImage and TensorBuffer and MediaPipe's tasks do not support int8.",
        "Two assets for an app and its tests are generated for each file: NAME.card.json, the model card, and NAME.golden.json, test"
        " images with the outputs that a runtime must produce.",
        "The files contain TFLite Metadata, from which readers on Android and iOS take normalization, image size and model card.",
        "The table of operators is that of the GPU delegate, read from LiteRT's source. It was not measured on a phone.",
    ),
)
