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
    from edge_sdk.cameras.names import camera_named
    from edge_sdk.cameras.opencv import V4l2Camera
    from edge_sdk.cameras.picamera import PiCamera
    from edge_sdk.door.installation import Installation
    from edge_sdk.door.lock import DoorLock
    from edge_sdk.door.strike import Strike
    from edge_sdk.gallery.attempt_counter import AttemptPolicy
    from edge_sdk.gallery.gallery import Gallery
    from edge_sdk.gallery.keys import BoardKey, KeyFile, Passphrase
    from edge_sdk.gallery.rules.policy import DecisionPolicy
    from edge_sdk.gallery.store.anchor import FileAnchor
    from edge_sdk.gallery.subjects import EnrolOptions
    from edge_sdk.model.array_contract import ArrayContract
    from edge_sdk.model.card import InputContract, ModelCard
    from edge_sdk.model.operating_point import OperatingPoint
    from edge_sdk.recognizer import Recognition, Recognizer
    from edge_sdk.vision.detector import Detector
    from edge_sdk.vision.embedder import Embedder
    from edge_sdk.vision.liveness import MiniFasNet

__version__ = "0.2.0"

_LAZY = {
    "ArrayContract": "edge_sdk.model.array_contract",
    "AttemptPolicy": "edge_sdk.gallery.attempt_counter",
    "BoardKey": "edge_sdk.gallery.keys",
    "DecisionPolicy": "edge_sdk.gallery.rules.policy",
    "Detector": "edge_sdk.vision.detector",
    "DoorLock": "edge_sdk.door.lock",
    "Embedder": "edge_sdk.vision.embedder",
    "EnrolOptions": "edge_sdk.gallery.subjects",
    "FileAnchor": "edge_sdk.gallery.store.anchor",
    "Gallery": "edge_sdk.gallery.gallery",
    "InputContract": "edge_sdk.model.card",
    "Installation": "edge_sdk.door.installation",
    "KeyFile": "edge_sdk.gallery.keys",
    "MiniFasNet": "edge_sdk.vision.liveness",
    "ModelCard": "edge_sdk.model.card",
    "OperatingPoint": "edge_sdk.model.operating_point",
    "Passphrase": "edge_sdk.gallery.keys",
    "PiCamera": "edge_sdk.cameras.picamera",
    "Recognition": "edge_sdk.recognizer",
    "Recognizer": "edge_sdk.recognizer",
    "Strike": "edge_sdk.door.strike",
    "V4l2Camera": "edge_sdk.cameras.opencv",
    "camera_named": "edge_sdk.cameras.names",
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
    "ArrayContract",
    "AttemptPolicy",
    "BackendUnavailableError",
    "BoardKey",
    "CaptureError",
    "ChangeCommittedError",
    "CommandRefusedError",
    "DecisionPolicy",
    "Detector",
    "DoorLock",
    "EdgeSdkError",
    "Embedder",
    "EnrolOptions",
    "FileAnchor",
    "Gallery",
    "GalleryChangedError",
    "GalleryError",
    "GalleryFormatError",
    "InputContract",
    "InputError",
    "Installation",
    "KeyFile",
    "MiniFasNet",
    "ModelCard",
    "ModelCardError",
    "ModelContractError",
    "ModelError",
    "ModelMismatchError",
    "OperatingPoint",
    "Passphrase",
    "PiCamera",
    "PluginError",
    "Recognition",
    "Recognizer",
    "RollbackError",
    "SealError",
    "Strike",
    "SubjectExistsError",
    "SubjectUnknownError",
    "V4l2Camera",
    "__version__",
    "camera_named",
    "matching",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'edge_sdk' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if _LAZY[name].endswith(f".{name}") else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
