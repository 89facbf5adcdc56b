"""Metric-learning models on small hardware: compute embeddings, compare them, decide, and keep a gallery.

    >>> from edge_sdk import Embedder, Gallery, KeyFile  # doctest: +SKIP
    >>> embedder = Embedder.open("products.cpu_int8.tflite")  # doctest: +SKIP

Importing this package imports only numpy; other modules are imported when a name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_sdk import _moved, _numpy_import  # noqa: F401  a missing numpy is an error here and not at the first use
from edge_sdk.errors import (
    AcquisitionError,
    BackendUnavailableError,
    CaptureError,
    ChangeCommittedError,
    CommandRefusedError,
    EdgeSdkError,
    GalleryChangedError,
    GalleryError,
    GalleryFormatError,
    InputError,
    ModelCardError,
    ModelContractError,
    ModelError,
    ModelMismatchError,
    PluginError,
    RollbackError,
    SealError,
    SubjectExistsError,
    SubjectUnknownError,
)

if TYPE_CHECKING:
    from edge_sdk import matching
    from edge_sdk.gallery.attempt_counter import AttemptPolicy
    from edge_sdk.gallery.gallery import Gallery
    from edge_sdk.gallery.keys import KeyFile, Passphrase
    from edge_sdk.gallery.rules.policy import DecisionPolicy
    from edge_sdk.model.card import InputContract, ModelCard
    from edge_sdk.model.operating_point import OperatingPoint
    from edge_sdk.recognizer import Recognition, Recognizer
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.embedder import Embedder

__version__ = "0.2.0"

_LAZY = {
    "AttemptPolicy": "edge_sdk.gallery.attempt_counter",
    "DecisionPolicy": "edge_sdk.gallery.rules.policy",
    "Detector": "edge_sdk.vision.detector",
    "Embedder": "edge_sdk.vision.embedder",
    "Gallery": "edge_sdk.gallery.gallery",
    "InputContract": "edge_sdk.model.card",
    "KeyFile": "edge_sdk.gallery.keys",
    "ModelCard": "edge_sdk.model.card",
    "OperatingPoint": "edge_sdk.model.operating_point",
    "Passphrase": "edge_sdk.gallery.keys",
    "Recognition": "edge_sdk.recognizer",
    "Recognizer": "edge_sdk.recognizer",
    "matching": "edge_sdk.matching",
}

_moved.install(
    {
        "edge_sdk.bench": "edge_sdk.diagnostics.bench",
        "edge_sdk.decision": "edge_sdk",
        "edge_sdk.decision.operating_point": "edge_sdk.model.operating_point",
        "edge_sdk.doctor": "edge_sdk.diagnostics.doctor",
        "edge_sdk.doctor.finding": "edge_sdk.diagnostics.doctor.check_result",
        "edge_sdk.gallery.anchor": "edge_sdk.gallery.store.anchor",
        "edge_sdk.gallery.attempts": "edge_sdk.gallery.attempt_counter",
        "edge_sdk.gallery.audit": "edge_sdk.gallery.store.audit_log",
        "edge_sdk.gallery.commands": "edge_sdk.gallery.exchange.commands",
        "edge_sdk.gallery.content": "edge_sdk.gallery.format.content",
        "edge_sdk.gallery.export": "edge_sdk.gallery.exchange.export",
        "edge_sdk.gallery.policy": "edge_sdk.gallery.rules.policy",
        "edge_sdk.gallery.sealing": "edge_sdk.gallery.format.sealing",
        "edge_sdk.gallery.storage": "edge_sdk.gallery.store.files",
        "edge_sdk.inference": "edge_sdk.runtime",
        "edge_sdk.inference.card": "edge_sdk.model.card",
        "edge_sdk.inference.choice": "edge_sdk.runtime.backend_choice",
        "edge_sdk.inference.golden": "edge_sdk.model.golden",
        "edge_sdk.inference.model_file": "edge_sdk.model.model_file",
        "edge_sdk.inference.network_card": "edge_sdk.model.network_card",
        "edge_sdk.inference.templates": "edge_sdk.model.landmark_template",
        "edge_sdk.perception": "edge_sdk.vision",
    }
)

__all__ = [
    "AcquisitionError",
    "AttemptPolicy",
    "BackendUnavailableError",
    "CaptureError",
    "ChangeCommittedError",
    "CommandRefusedError",
    "DecisionPolicy",
    "Detector",
    "EdgeSdkError",
    "Embedder",
    "Gallery",
    "GalleryChangedError",
    "GalleryError",
    "GalleryFormatError",
    "InputContract",
    "InputError",
    "KeyFile",
    "ModelCard",
    "ModelCardError",
    "ModelContractError",
    "ModelError",
    "ModelMismatchError",
    "OperatingPoint",
    "Passphrase",
    "PluginError",
    "Recognition",
    "Recognizer",
    "RollbackError",
    "SealError",
    "SubjectExistsError",
    "SubjectUnknownError",
    "__version__",
    "matching",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edge_sdk' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if _LAZY[name].endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
