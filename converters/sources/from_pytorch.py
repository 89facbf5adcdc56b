"""Read a PyTorch network with litert-torch; imported only in the child process.

``FILE.py:FUNCTION`` runs the user's code with the user's permissions.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import SourceError
from converters.sources import checks, tflite_network
from converters.sources.pytorch_place import CodePlace, code_place
from converters.sources.source_request import Converted, SourceRequest, tools
from edge_sdk.model.array_contract import AnyContract, ArrayContract
from edge_sdk.types import FloatArray

_TO_NCHW = (0, 3, 1, 2)
# Position of the argument that is True in training mode, for each exported operator.
_TRAINING = {
    "aten.batch_norm.default": 5,
    "aten.native_batch_norm.default": 5,
    "aten._native_batch_norm_legit.default": 5,
    "aten._native_batch_norm_legit_functional.default": 5,
    "aten.dropout.default": 2,
}
_KEY = re.compile(r"[^\[\]'\".]+")
_AGAIN = "export it again: torch.export.export(model.eval(), (torch.zeros(1, 3, H, W),))"


def convert(request: SourceRequest) -> Converted:
    """Load or build the network, run it in torch, and write it as ``.tflite``.

    Raises:
        SourceError: The source gives no exported program or module. Or the network is in training mode, is not float32, has a
            fixed batch above 1, has more than one input or output, or takes images of another size than the contract.
    """
    request.stage = "loading PyTorch"
    import litert_torch
    import torch

    torch.set_num_threads(1)
    place = code_place(request.path)
    if place is None:
        module, channels_first = _load(request)
        notes: tuple[str, ...] = ()
    else:
        module, notes = _make(place, request)
        channels_first = True
    if request.output_name is not None:
        module = _with_output(module, request.output_name)
    request.stage = "running the network with torch"
    witness = _embed(module, request.inputs, channels_first)
    request.stage = "converting the network with litert-torch"
    network = litert_torch.to_channel_last_io(module, args=[0]) if channels_first else module
    file = request.folder / "litert_torch.tflite"
    litert_torch.convert(network, (torch.zeros(1, *request.contract.shape),)).export(str(file))
    tflite = file.read_bytes()
    notes += tflite_network.inspect(tflite, request.contract)
    return Converted(tflite, witness, tools("torch", "litert-torch", "ai-edge-litert"), notes)


def _load(request: SourceRequest) -> tuple[Any, bool]:
    """Load the module of a ``.pt2``; return it, and True if its image has the channels first."""
    import torch

    request.stage = "loading the exported program"
    program = torch.export.load(request.path)
    _check_evaluation(program.graph.nodes)
    named = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    images = [named[name] for name in program.graph_signature.user_inputs if name in named]
    outputs = list(program.graph_signature.user_outputs)
    checks.check_single([node.name for node in images], outputs[:1] if request.output_name else outputs, "0")
    image = images[0].meta["val"]
    if image.dtype != torch.float32:
        raise SourceError(
            f"input is {str(image.dtype).removeprefix('torch.')}, expected float32", hint=_AGAIN
        )
    shape = [int(side) if isinstance(side, int) else None for side in image.shape]
    _check_float(program.state_dict.values())
    return program.module(), _check_shape(shape, request.contract)


def _check_evaluation(nodes: Any) -> None:
    """Refuse batch normalization and dropout in training mode: their output for an image depends on other images or chance."""
    for node in nodes:
        name = str(node.target)
        position = _TRAINING.get(name)
        if position is not None and len(node.args) > position and node.args[position] is True:
            raise SourceError(f"exported in training mode ({name.split('.')[1]} operator)", hint=_AGAIN)


def _check_shape(shape: Sequence[int | None], contract: AnyContract) -> bool:
    """Compare the exported input with the contract; return True if it is an image whose channels come first."""
    if isinstance(contract, ArrayContract):
        checks.check_input(shape[1:], contract)
        return False
    if len(shape) != 4:
        text = "x".join("?" if side is None else str(side) for side in shape)
        raise SourceError(f"graph input is {text}, expected batch x channels x height x width", hint=_AGAIN)
    if shape[0] not in (None, 1):
        raise SourceError(f"exported for batches of {shape[0]}, expected 1 or an open batch", hint=_AGAIN)
    channels_last = shape[3] == contract.channels and shape[1] != contract.channels
    sides = shape[1:] if channels_last else [shape[2], shape[3], shape[1]]
    checks.check_input(sides, contract)
    return not channels_last


def _make(place: CodePlace, request: SourceRequest) -> tuple[Any, tuple[str, ...]]:
    """Run the user's function in the folder of its file, so that relative paths of weights are found."""
    import torch

    request.stage = f"running {place.file.name}:{place.function}"
    file = place.file.resolve()
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise SourceError(f"{file.name} is not a Python file", hint="give FILE.py:FUNCTION")
    code = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = code
    previous = Path.cwd()
    sys.path.insert(0, str(file.parent))
    os.chdir(file.parent)
    try:
        spec.loader.exec_module(code)
        function = getattr(code, place.function, None)
        if not callable(function):
            raise SourceError(f"{file.name} has no function {place.function!r}", hint=_names(code))
        module = function()
    finally:
        os.chdir(previous)
    if not isinstance(module, torch.nn.Module):
        raise SourceError(
            f"{place.function} returned {type(module).__name__}, expected a torch.nn.Module",
            hint="return the network itself, with its weights loaded",
        )
    _check_float([*module.parameters(), *module.buffers()])
    notes = [f"the digest covers {file.name}, not what it imports or the weights it loads"]
    if any(part.training for part in module.modules()):
        notes.append("the network was in training mode and was put in evaluation mode")
    return module.cpu().eval(), tuple(notes)


def _with_output(module: Any, name: str) -> Any:
    """Wrap a module so that it returns one of its outputs: that of a key, or of a number from 0."""
    import torch
    from torch.utils import _pytree

    class Chosen(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, image: Any) -> Any:
            leaves, _ = _pytree.tree_flatten_with_path(self.module(image))
            named = {".".join(_KEY.findall(_pytree.keystr(path))): leaf for path, leaf in leaves}
            if name not in named:
                raise checks.no_output(name, named)
            return named[name]

    return Chosen().eval()


def _names(code: Any) -> str:
    functions = [
        name for name, value in vars(code).items() if callable(value) and value.__module__ == code.__name__
    ]
    return f"it has the functions {', '.join(functions[:4])}" if functions else "it has no functions"


def _check_float(tensors: Any) -> None:
    import torch

    for tensor in tensors:
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise SourceError(
                f"its weights are {kind}, expected float32", hint="call model.float() before the export"
            )


def _embed(module: Any, inputs: FloatArray, channels_first: bool) -> FloatArray:
    """Run torch on the images, one at a time."""
    import torch
    from torch.utils import _pytree

    rows = []
    for image in inputs:
        batch = image[None].transpose(_TO_NCHW) if channels_first else image[None]
        with torch.no_grad():
            answer = module(torch.from_numpy(np.ascontiguousarray(batch)))
        leaves = _pytree.tree_leaves(answer)
        checks.check_single(["image"], [f"{i} {list(leaf.shape)}" for i, leaf in enumerate(leaves)])
        checks.embedding_dimension([int(side) for side in leaves[0].shape[1:]])
        rows.append(leaves[0].to(torch.float32).numpy().reshape(-1))
    return np.stack(rows)
