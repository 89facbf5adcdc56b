"""Computation of one unit embedding from one aligned crop or one array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from edge_sdk.errors import InputError, ModelContractError
from edge_sdk.model.array_contract import array_contract, image_contract
from edge_sdk.model.card import ModelCard
from edge_sdk.model.model_file import ModelFile
from edge_sdk.model.model_id import ModelId
from edge_sdk.runtime.backend_choice import BackendStatus, open_backend, open_backend_plugin
from edge_sdk.runtime.backends.base import Backend
from edge_sdk.runtime.quantization import make_encoder, unit_embedding
from edge_sdk.runtime.threads import thread_count
from edge_sdk.types import FloatArray, SampleArray, UInt8Array
from edge_sdk.vision.images import check_image
from edge_sdk.vision.resize import fit


class Embedder:
    """Computes unit embeddings of aligned crops, or of arrays, with the network of one model file.

    Not thread-safe: one embedder owns one interpreter.

    Args:
        backend: Backend that runs the network, such as ``LiteRtBackend`` or ``FakeBackend``.
        card: The model card of that network.
        model_id: SHA-256 of the model file, 32 bytes.
        status: Result of choosing the backend, available as ``backend``. None derives it from the backend.

    Raises:
        ModelContractError: The network does not match its card.
    """

    def __init__(
        self, backend: Backend, card: ModelCard, *, model_id: bytes, status: BackendStatus | None = None
    ) -> None:
        self.card = card
        self.model_id = model_id if isinstance(model_id, ModelId) else ModelId.of(model_id, card)
        self.backend = status or BackendStatus(backend.runtime, backend.kernels)
        self._backend = backend
        size = math.prod(backend.output.shape)
        if size != card.dimension:
            raise ModelContractError(
                f"expected an embedding of {card.dimension} values, as stated in the card, found {size}"
                f" in shape {list(backend.output.shape)}"
            )
        if card.input_tensor is not None and card.input_tensor != backend.input.stated():
            raise ModelContractError(
                f"expected the input tensor that the card states, {card.input_tensor}, found {backend.input.stated()}",
                hint="convert the model again; an app that encodes pixels by this card would give wrong answers",
            )
        self._encode = make_encoder(card.input, backend.input)
        self._zero_point = backend.output.zero_point

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        sha256: str | None = None,
        threads: int | None = None,
        delegate: str | Path | None = None,
        delegate_options: Mapping[str, str] | None = None,
        backend: str | None = None,
    ) -> Embedder:
        """Open a model file from edge-convert.

        Args:
            path: A .tflite with a model card.
            sha256: Expected digest, hex; checked before anything is parsed. None skips the check.
            threads: Number of interpreter threads, 1 or more; None for one on each performance core, at most 4.
            delegate: Shared library of a delegate, such as ``libedgetpu.so.1``. Its outputs must match the card's
                golden vectors; otherwise, or if it is missing, ``DelegateWarning`` is issued and the CPU runs the
                network. ``backend`` states the result. None uses the CPU.
            delegate_options: Options of the delegate, as its documentation names them. ``EvidenceWarning`` is
                issued if the card's thresholds were measured with other options or kernels.
            backend: Name of a backend plug-in (``edge_sdk.plugins``), whose outputs must match the golden vectors;
                there is no fallback. None uses LiteRT.

        Raises:
            InputError: Both a delegate and a backend are given, no plug-in has the backend's name, or the number of threads is below 1.
            PluginError: The backend plug-in cannot be loaded.
            ModelError: The file is missing, altered or not a model, the interpreter refuses it, or neither
                the delegate nor the CPU gives correct outputs.
            ModelCardError: The file has no model card, or a malformed one.
            ModelContractError: The network contradicts its card.
            BackendUnavailableError: No interpreter is installed.
        """
        count = thread_count(threads)
        file = ModelFile.open(path, sha256=sha256)
        if backend is not None and delegate is not None:
            raise InputError("expected a delegate or a backend, found both", hint="leave one of them out")
        opened, status = (
            open_backend(file.data, file.card, threads=count, delegate=delegate, options=delegate_options)
            if backend is None
            else open_backend_plugin(backend, file.data, file.card, threads=count)
        )
        return cls(opened, file.card, model_id=file.model_id, status=status)

    @property
    def dimension(self) -> int:
        """Length D of the embedding."""
        return self.card.dimension

    def embed(self, face: UInt8Array) -> FloatArray:
        """Compute the unit embedding of one aligned crop.

        Args:
            face: Shape (H, W, 3), uint8, RGB (or (H, W, 1) for a gray network), any size;
                cropped around its centre to the card's aspect ratio and resized if the size differs.

        Returns:
            Shape (D,), float32, L2 norm 1 within 1e-5.

        Raises:
            InputError: The crop is malformed or has a side under 16 px, or the output is all zero or not finite.
            ModelContractError: The network takes arrays.
        """
        contract = image_contract(self.card.input)
        check_image(face, contract.channels)
        return self._run(fit(face, contract.height, contract.width))

    def embed_array(self, values: SampleArray) -> FloatArray:
        """Compute the unit embedding of one array, such as a spectrogram or a window of sensor values.

        Args:
            values: The shape of the card's contract, without a batch axis; numbers within its range. Integers of any
                width are accepted, and floats of any width if the contract's type is float32.

        Returns:
            Shape (D,), float32, L2 norm 1 within 1e-5.

        Raises:
            ModelContractError: The network takes images.
            InputError: Another shape or type; a value that is not finite or outside the range; or the output is all
                zero or not finite.
        """
        return self._run(array_contract(self.card.input).sample(values))

    def _run(self, sample: SampleArray) -> FloatArray:
        self._encode(sample, self._backend.input_view())
        self._backend.invoke()
        return unit_embedding(self._backend.output_view(), self._zero_point)
