"""Open a .tflite for measurement: with its own card, or without a card and with the caller's input contract."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.errors import SourceError
from converters.evaluate.runner.execution import Execution
from converters.graph.network import Network
from converters.graph.rewrites.static_shapes import fold_constants, infer_shapes, make_batch_one
from edge_sdk import __version__
from edge_sdk.errors import ModelContractError, ModelError
from edge_sdk.model.array_contract import AnyContract
from edge_sdk.model.card import CARD_NAME, ModelCard
from edge_sdk.model.model_file import check_identifier, read_model_bytes, split
from edge_sdk.vision.embedder import Embedder


@dataclass(frozen=True)
class OpenedArtefact:
    """An artefact that is ready to embed images.

    Args:
        path: Path of the file.
        sha256: SHA-256 of the whole file, hex.
        network: The FlatBuffer that runs: the file's own network, or a copy with static shapes for one image.
        card: The file's card; without one, a card made from the caller's contract and the network.
        has_card: True if the file carries the card.
        execution: Kernels or delegate that run the network.
        notes: Changes made to open the file.
    """

    path: Path
    sha256: str
    network: Network
    card: ModelCard
    has_card: bool
    execution: Execution
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Identifier of the embedding space, hex: network, contract, interpreter, kernels and kind of processor.

        New operating points in the card keep the key. Another input contract, interpreter, kernels or processor,
        which may round differently, changes it.
        """
        digest = hashlib.sha256(b"edge-sdk/embedding-space/1\0")
        runtime = f"{__version__} {self.execution.runtime} {platform.machine()}"
        parts = (self.card.input.describe(), runtime, self.execution.name, self.execution.delegate)
        for part in (self.network.digest, *parts):
            digest.update(part.encode() + b"\0")
        digest.update(repr(sorted(self.card.input.to_json().items())).encode())
        return digest.hexdigest()

    def embedder(self) -> Embedder:
        """Create a device's embedder of this file, on one thread, run by ``execution``.

        Raises:
            ModelError: The interpreter refuses the network.
            ModelContractError: The network contradicts the card.
        """
        return make_embedder(self.network.data, self.card, self.sha256, self.execution)


def make_embedder(network: bytes, card: ModelCard, sha256: str, execution: Execution) -> Embedder:
    """Create a device's embedder of a network."""
    return Embedder(execution.backend(network), card, model_id=bytes.fromhex(sha256))


def open_artefact(
    path: str | Path, *, contract: AnyContract | None = None, execution: Execution | None = None
) -> OpenedArtefact:
    """Open a file and check that it runs.

    Args:
        path: A .tflite file.
        contract: Input contract, if the file carries no card.
        execution: Kernels or delegate that run the network (default: the LiteRT kernels nearest to the card's
            target).

    Raises:
        ModelError: The file is missing, not a .tflite, damaged, or refused by the interpreter; or a delegate takes
            no part of the network, or its answers to the golden vectors are wrong.
        BackendUnavailableError: The delegate cannot be loaded.
        ModelContractError: There is no card and no contract; or card, contract and network disagree.
        SourceError: The file has no card, and its shapes cannot be made static.
    """
    path = Path(path)
    data = read_model_bytes(path)
    check_identifier(data, path)
    flatbuffer, files = split(data)
    network = Network(flatbuffer)
    sha256 = hashlib.sha256(data).hexdigest()
    card = _own_card(path, network, files)
    if card is not None:
        _require_accelerator(path, network, execution)
        if contract is not None and contract.to_json() != card.input.to_json():
            raise ModelContractError(
                f"{path}: expected the contract of its card, {card.input.describe()}, found"
                f" {contract.describe()}",
                hint="leave out --size, --color, --mean, --scale and --range: the card contains them",
            )
        opened = OpenedArtefact(
            path,
            sha256,
            network,
            card,
            has_card=True,
            execution=execution or Execution.of_target(card.target),
        )
    elif contract is None:
        raise ModelContractError(
            f"{path}: expected an input contract, found no card inside",
            hint="give it with --size, --color, and --mean and --scale or --range",
        )
    else:
        opened = _without_card(path, sha256, network, contract, execution or Execution())
    opened.embedder()
    return replace(
        opened, notes=(*opened.notes, *opened.execution.check_delegate(opened.network.data, opened.card))
    )


def _require_accelerator(path: Path, network: Network, execution: Execution | None) -> None:
    """Refuse a compiled file that would run without its accelerator; the interpreter's error would be less clear."""
    custom = [name for name in network.graph.operator_counts() if name.startswith("'")]
    if custom and (execution is None or not execution.delegate):
        raise ModelError(
            f"{path}: compiled for an accelerator ({', '.join(custom)}), which LiteRT's kernels do not run",
            hint="give --delegate LIBRARY on a machine that has the accelerator, or measure the file before compilation",
        )


def _own_card(path: Path, network: Network, files: dict[str, bytes]) -> ModelCard | None:
    if CARD_NAME not in files:
        return None
    if not network.data:
        raise SourceError(f"{path}: expected a network before its card, found none")
    card = ModelCard.from_bytes(files[CARD_NAME])
    if network.digest != card.network_sha256:
        raise ModelError(
            f"{path}: the network does not match its card",
            hint="the file is damaged or was edited; copy it again or convert again",
        )
    return card


def _without_card(
    path: Path, sha256: str, network: Network, contract: AnyContract, execution: Execution
) -> OpenedArtefact:
    static, notes = _static(network, contract)
    _require_accelerator(path, static, execution)
    backend = execution.backend(static.data)
    precision = {"uint8": "uint8", "int8": "int8", "int16": "int16"}.get(str(backend.input.dtype), "float32")
    card = ModelCard(
        name=path.name.removesuffix(path.suffix),
        version="",
        target="",
        precision=precision,
        dimension=int(np.prod(backend.output.shape)),
        input=contract,
        network_sha256=static.digest,
        output_scale=backend.output.scale,
        output_zero_point=backend.output.zero_point,
    )
    return OpenedArtefact(path, sha256, static, card, has_card=False, execution=execution, notes=notes)


def _static(network: Network, contract: AnyContract) -> tuple[Network, tuple[str, ...]]:
    """Make the shapes static for one image; a network that has such shapes is returned unchanged.

    Weights and operators stay, so the results are those of the original file. In a float network every shape is
    set to the shape that the interpreter derives. In an integer network, whose shapes the interpreter derives
    itself, only the batch size and the marks of dynamic dimensions change.
    """
    graph = network.edit()
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelContractError(
            f"expected one input and one output, found {len(graph.inputs)} and {len(graph.outputs)}"
        )
    shapes = [graph.shape(i) for i in range(len(graph.tensors))]
    batch = (shapes[graph.inputs[0]] or (1,))[0]
    if batch == 1 and not any(-1 in shape for shape in shapes):
        return network, ()
    make_batch_one(graph)
    if graph.dtype_name(graph.inputs[0]) == "float32":
        infer_shapes(graph, contract)
        fold_constants(graph, contract)
        graph.prune()
    else:
        graph.set_shape(graph.inputs[0], (1, *contract.shape))
        for index in graph.computed():
            shape = graph.shape(index)
            if shape and shape[0] in (batch, -1):
                shape = (1, *shape[1:])
            if -1 not in shape:
                graph.set_shape(index, shape)
            elif index in graph.outputs:
                raise SourceError(f"the output's shape {list(shape)} does not follow from one image")
    original = "dynamic" if batch < 0 else str(batch)
    return Network.of(graph), (f"the batch was {original}; measured with one image at a time",)
