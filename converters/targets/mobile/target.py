"""mobile: a phone's GPU in float16, its CPU (or NNAPI) in int8, with what an app's developer needs beside the file."""

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
from converters.graph.rewrites.uint8_io import convert_io_to_uint8
from converters.targets.base import Finished, Finishing, Target
from converters.targets.cpu import target as cpu
from converters.targets.mobile import gpu_delegate
from converters.targets.operator_table import is_integer, output, refusals
from converters.targets.rule import RuleFinding, named
from converters.targets.shared import no_custom_operators, no_variables, static_shapes
from edge_sdk.model.card import CARD_NAME
from edge_sdk.model.golden import smooth_field
from edge_sdk.model.model_file import split

_IDENTIFIER = b"M001"


def gpu_takes_it(graph: Graph) -> Iterator[RuleFinding]:
    """In float, the GPU delegate takes every operator; what it leaves runs on the CPU, with copies both ways."""
    if any(is_integer(graph, output(operator)) for operator in graph.operators):
        return
    left = refusals(gpu_delegate.TABLE, graph)
    kinds = Counter((graph.op_name(graph.operators[place]), why) for place, why in left.items())
    for (name, why), count in sorted(kinds.items(), key=lambda kind: -kind[1]):
        yield RuleFinding(
            "slow",
            f"{count} {name} stay on the CPU, and the GPU waits for them: {why}",
            "replace the layer, or run the int8 file on the CPU",
        )


def one_image_at_a_time(graph: Graph) -> Iterator[RuleFinding]:
    """The batch is 1: the GPU delegate is built for one size, and a phone embeds one crop."""
    for index in graph.inputs:
        shape = graph.shape(index)
        if len(shape) > 1 and shape[0] not in (1, -1):
            yield RuleFinding(
                "refused",
                f"a batch of {shape[0]}",
                "edge-convert convert writes batch 1 whatever the source has",
            )


def image_in_embedding_out(graph: Graph) -> Iterator[RuleFinding]:
    """One input, an image of 1 or 3 channels, and one output: what an app's image pipeline feeds and reads."""
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        yield RuleFinding(
            "refused",
            f"{len(graph.inputs)} inputs and {len(graph.outputs)} outputs",
            "cut the network to the one that gives the embedding",
        )
        return
    shape = graph.shape(graph.inputs[0])
    if len(shape) != 4 or shape[-1] not in (1, 3):
        yield RuleFinding(
            "refused", f"an input of shape {list(shape)}", "images as (1, H, W, 3) or (1, H, W, 1)"
        )


def whole_for_nnapi(graph: Graph) -> Iterator[RuleFinding]:
    """In integers, no float operator between: NNAPI and vendors' delegates cut the network there."""
    integer = sum(is_integer(graph, output(operator)) for operator in graph.operators)
    islands = Counter(
        graph.op_name(operator)
        for operator in graph.operators
        if integer
        and graph.dtype_name(output(operator)) == "float32"
        and graph.op_name(operator) != "DEQUANTIZE"
    )
    if islands:
        found = named([f"{count} {name}" for name, count in islands.most_common()])
        yield RuleFinding(
            "note",
            f"{found} in float: a phone's CPU runs all of it in one partition, NNAPI in several",
            "where an NPU behind NNAPI is meant, convert with --target ethos-u or edgetpu for a full-int8 file",
        )


def adapt(network: bytes) -> bytes:
    """uint8 at the edge of an integer network: Android's TensorImage and MediaPipe know no int8."""
    graph = Graph.parse(network)
    convert_io_to_uint8(graph)
    return graph.to_bytes()


def readable(data: bytes) -> None:
    """Make sure that what Android's and iOS's readers look for is in the file.

    Raises:
        TargetError: The metadata or the model card is not where they look.
    """
    network, files = split(data)
    graph = Graph.parse(network)
    buffers = {
        (m.name.decode() if isinstance(m.name, bytes) else m.name): m.buffer
        for m in graph.model.metadata or []
    }
    index = buffers.get(BUFFER_NAME)
    content = b"" if index is None else bytes(graph.model.buffers[index].data)
    if content[4:8] != _IDENTIFIER or CARD_NAME not in files:
        raise TargetError(
            f"mobile: expected TFLite Metadata ({_IDENTIFIER.decode()}) and {CARD_NAME} in the file, found neither or one",
            hint="convert again; a tool between may have dropped the appended archive",
        )


def finish(finished: Finished) -> Finishing:
    """The model card and golden vectors as JSON assets, for an app and its tests."""
    readable(finished.data)
    card = split(finished.data)[1][CARD_NAME]
    files = {f"{finished.stem}.card.json": card}
    golden = json.loads(card).get("golden")
    if golden:
        files[f"{finished.stem}.golden.json"] = _golden_asset(finished, golden)
    return Finishing(files=files)


def _golden_asset(finished: Finished, golden: dict[str, Any]) -> bytes:
    """The card's golden vectors with their pixels, so that an app's test has no generator to write."""
    contract = finished.card.input
    shape = contract.shape
    colour = "gray" if contract.color == "gray" else "RGB"
    asset = {
        "schema": "edge-sdk/golden-asset/1",
        "file": finished.file,
        "sha256": hashlib.sha256(finished.data).hexdigest(),
        "input": {
            "height": shape[0],
            "width": shape[1],
            "channels": shape[2],
            "order": f"rows of {colour}, uint8",
        },
        **golden,
        "vectors": [
            {**vector, "pixels": base64.b64encode(smooth_field(shape, vector["seed"]).tobytes()).decode()}
            for vector in golden["vectors"]
        ],
    }
    return (json.dumps(asset, indent=1, ensure_ascii=False) + "\n").encode()


_RULES = (
    static_shapes,
    no_variables,
    no_custom_operators,
    one_image_at_a_time,
    image_in_embedding_out,
    gpu_takes_it,
)

TARGET = Target(
    name="mobile",
    summary="an Android or iOS app: float16 for the GPU delegate, int8 for the CPU and NNAPI",
    makes={"float16": "float16", "mobile_int8": "cpu_int8"},
    network_rules=_RULES,
    file_rules=(*_RULES, cpu.xnnpack_takes_it, whole_for_nnapi),
    adapt=adapt,
    operators=gpu_delegate.OPERATORS,
    confirm=cpu.confirm,
    finish=finish,
    beside=lambda stem: (f"{glob.escape(stem)}.golden.json",),
    on_xnnpack=True,
    notes=(
        "float16 stores half-precision weights: GPU delegates compute with them as they are, CPUs unpack them once.",
        "mobile_int8 is the CPU's network, not full int8: a phone runs int8 on XNNPACK, and NNAPI is deprecated since"
        " Android 15. It takes and gives uint8, since Android's TensorImage and TensorBuffer and MediaPipe's tasks know"
        " no int8.",
        "Beside each file: NAME.card.json, the model card, and NAME.golden.json, questions with their pixels and the"
        " answers that a runtime must give; both are assets for an app and its tests.",
        "The files carry TFLite Metadata: Android's and iOS's readers find the normalization, the image's size and the"
        " model card in them.",
        "The table is of the GPU delegate, from LiteRT's source; no phone was measured.",
    ),
)
