"""Runtimes compared by `tools.compare_runtimes`: the SDK, OpenCV, ONNX Runtime and OpenVINO, with one interface.

Peers are chosen by name. A peer loads nothing before it is opened, and runs on one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

#: Height and width of every detector's input unless its name states another size: the frame scaled down, then padded.
SIDE = 320
DIMENSION = 128
THRESHOLD = 0.363  # the value in OpenCV's documentation of SFace; it has no effect on time
KEY = bytes(range(32))


class Peer(Protocol):
    """A runtime that identifies the person in a frame."""

    versions: str

    def enrol(self, frame: np.ndarray, subject: str) -> None:
        """Add the subject in a frame to the references, before `save`."""

    def save(self, folder: Path, strangers: np.ndarray) -> None:
        """Write the references and the strangers' embeddings, shape (n, 128), for `load`."""

    def load(self, folder: Path) -> None:
        """Read the references."""

    def identify(self, frame: np.ndarray) -> str | None:
        """Return the subject's name, or None if no subject is recognized."""

    def networks_s(self) -> float | None:
        """Return the seconds spent in networks in the last `identify`, or None if unknown."""


class Sdk:
    """`Recognizer` with a sealed gallery; attempts are neither limited nor logged, so nothing is written to disk.

    Args:
        detector: The detector's .tflite.
        embedder: The embedder's .tflite.
        clocked: True to measure the time spent in networks.
        threads: Threads of each network.
    """

    def __init__(self, detector: Path, embedder: Path, *, clocked: bool = True, threads: int = 1) -> None:
        self._spent = 0.0
        self._enrolled: list[tuple[np.ndarray, str]] = []
        if not clocked:
            from edge_sdk import Detector, Embedder

            self._embedder = Embedder.open(embedder, threads=threads)
            self.versions = self._embedder.backend.runtime
            self._detector = Detector.open(detector, threads=threads)
            return
        self._open_clocked(detector, embedder, threads)

    def _open_clocked(self, detector: Path, embedder: Path, threads: int) -> None:
        from edge_sdk.diagnostics.bench.clock import clocked
        from edge_sdk.model.model_file import ModelFile
        from edge_sdk.runtime.backends.litert import LiteRtBackend
        from edge_sdk.vision.detector import Detector, open_network
        from edge_sdk.vision.embedder import Embedder

        file = ModelFile.open(embedder)
        backend = clocked(LiteRtBackend(file.data, threads=threads), self._add_time)
        self.versions = backend.runtime
        self._embedder = Embedder(backend, file.card, model_id=file.model_id)
        network = open_network(detector, threads=threads).with_backend(
            lambda network: clocked(network, self._add_time)
        )
        self._detector = Detector(network)

    def _add_time(self, began: float, ended: float) -> None:
        self._spent += ended - began

    def enrol(self, frame: np.ndarray, subject: str) -> None:
        """Remember a subject to enrol; see ``Peer.enrol``."""
        self._enrolled.append((frame, subject))

    def save(self, folder: Path, strangers: np.ndarray) -> None:
        """Write a gallery of the subjects and strangers; see ``Peer.save``."""
        from edge_sdk.gallery import Gallery, InMemoryKey

        gallery = Gallery.create(
            folder / "home.gallery",
            key=InMemoryKey(KEY),
            model_id=self._embedder.model_id,
            dimension=self._embedder.dimension,
            audit="off",  # the others keep no log
        )
        with gallery.transaction() as t:
            for index, stranger in enumerate(strangers):
                t.enrol(f"stranger {index}", stranger)
        self.load(folder)
        for frame, subject in self._enrolled:
            self._recognizer.enrol([frame], subject, least=1)

    def load(self, folder: Path) -> None:
        """Implement ``Peer``."""
        from edge_sdk.gallery import Gallery, InMemoryKey
        from edge_sdk.recognizer import Recognizer

        gallery = Gallery.open(
            folder / "home.gallery", key=InMemoryKey(KEY), model_id=self._embedder.model_id
        )
        self._recognizer = Recognizer(self._detector, self._embedder, gallery, threshold=THRESHOLD)

    def identify(self, frame: np.ndarray) -> str | None:
        """Implement ``Peer``."""
        self._spent = 0.0
        return self._recognizer.identify(frame).subject

    def networks_s(self) -> float | None:
        """Implement ``Peer``."""
        return self._spent


@dataclass
class _WithMatrix:
    """Base of `OpenCv` and `OnnxRuntime`: references in one float32 matrix, compared by one matrix product."""

    versions: str = ""
    _names: list[str] = field(default_factory=list)
    _rows: list[np.ndarray] = field(default_factory=list)

    def embed(self, frame: np.ndarray) -> np.ndarray | None:
        """Return the embedding of the largest face, not normalized, or None if there is no face."""
        raise NotImplementedError

    def enrol(self, frame: np.ndarray, subject: str) -> None:
        """Implement ``Peer``."""
        feature = self.embed(frame)
        if feature is None:
            raise SystemExit(f"{self.versions}: no face in the frame of {subject}")
        self._names.append(subject)
        self._rows.append(feature / np.linalg.norm(feature))

    def save(self, folder: Path, strangers: np.ndarray) -> None:
        """Implement ``Peer``."""
        lengths = np.linalg.norm(strangers, axis=1, keepdims=True)
        np.save(folder / "matrix.npy", np.concatenate([strangers / lengths, np.stack(self._rows)]))
        (folder / "names").write_text("\n".join([*["stranger"] * len(strangers), *self._names]))
        self.load(folder)

    def load(self, folder: Path) -> None:
        """Implement ``Peer``."""
        self._matrix = np.load(folder / "matrix.npy").astype(np.float32)
        self._subjects = (folder / "names").read_text().split("\n")

    def identify(self, frame: np.ndarray) -> str | None:
        """Implement ``Peer``."""
        feature = self.embed(frame)
        if feature is None:
            return None
        scores = self._matrix @ (feature / np.linalg.norm(feature))
        best = int(scores.argmax())
        return self._subjects[best] if scores[best] >= THRESHOLD else None

    def networks_s(self) -> float | None:
        """Implement ``Peer``."""
        return None


class OpenCv(_WithMatrix):
    """OpenCV's FaceDetectorYN and FaceRecognizerSF.

    Args:
        detector: ONNX file of the detector.
        recognizer: ONNX file of the embedder.
        size: Height and width of the detector's input; (SIDE, SIDE) is the frame scaled down and padded with black.
    """

    def __init__(self, detector: Path, recognizer: Path, *, size: tuple[int, int] = (SIDE, SIDE)) -> None:
        import cv2

        super().__init__(f"OpenCV {cv2.__version__}")
        cv2.setNumThreads(1)
        self._cv2 = cv2
        self._size = size
        self._detector = cv2.FaceDetectorYN.create(str(detector), "", size[::-1], 0.6, 0.3)
        self._recognizer = cv2.FaceRecognizerSF.create(str(recognizer), "")

    def embed(self, frame: np.ndarray) -> np.ndarray | None:
        """Return the embedding of the largest face, not normalized, or None if there is no face."""
        cv2 = self._cv2
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        scaled, shrink = _shrink(cv2, bgr, self._size)
        faces = self._detector.detect(scaled)[1]
        if faces is None:
            return None
        face = max(faces, key=lambda row: row[2] * row[3])
        face[:14] /= shrink
        feature: np.ndarray = self._recognizer.feature(self._recognizer.alignCrop(bgr, face))[0]
        return feature


class _WithNetworks(_WithMatrix):
    """Base of `OnnxRuntime` and `OpenVino`: OpenCV scales the frame, the SDK decodes outputs and aligns the crop."""

    def __init__(self, versions: str, shapes: dict[str, tuple[int, ...]]) -> None:
        import cv2

        from edge_sdk.model.card import InputContract
        from edge_sdk.model.landmark_template import arcface
        from edge_sdk.vision.yunet import YuNetDecoder

        super().__init__(versions)
        cv2.setNumThreads(1)
        self._cv2 = cv2
        self._decoder = YuNetDecoder(SIDE, SIDE, shapes)
        self._contract = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3, arcface(112, 112))

    def detect(self, blob: np.ndarray) -> dict[str, np.ndarray]:
        """Run the detector on an NCHW blob and return its outputs by name."""
        raise NotImplementedError

    def recognize(self, blob: np.ndarray) -> np.ndarray:
        """Run the embedder on an NCHW blob and return the embedding, not normalized."""
        raise NotImplementedError

    def embed(self, frame: np.ndarray) -> np.ndarray | None:
        """Return the embedding of the largest face, not normalized, or None if there is no face."""
        from edge_sdk.runtime.network import Output
        from edge_sdk.vision.alignment import align
        from edge_sdk.vision.candidates import merge

        scaled, shrink = _shrink(self._cv2, frame, (SIDE, SIDE))
        outputs = self.detect(self._cv2.dnn.blobFromImage(scaled, swapRB=True))
        values = {name: Output(value) for name, value in outputs.items()}
        faces = merge(self._decoder.decode(values, 0.6), 0.3, blend=False)
        if not len(faces):
            return None
        face = int(faces.boxes[:, 2:].prod(axis=1).argmax())
        crop = align(frame, faces.landmarks[face] / shrink, self._contract)
        return self.recognize(self._cv2.dnn.blobFromImage(crop))


class OnnxRuntime(_WithNetworks):
    """ONNX Runtime with the files of `OpenCv`.

    Args:
        detector: ONNX file of the detector.
        recognizer: ONNX file of the embedder.
    """

    def __init__(self, detector: Path, recognizer: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._detector, self._recognizer = (
            onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            for file in (detector, recognizer)
        )
        shapes = {output.name: tuple(output.shape) for output in self._detector.get_outputs()}
        super().__init__(f"onnxruntime {onnxruntime.__version__}", shapes)
        self._outputs = list(shapes)
        self._inputs = [session.get_inputs()[0].name for session in (self._detector, self._recognizer)]

    def detect(self, blob: np.ndarray) -> dict[str, np.ndarray]:
        """Run the detector on an NCHW blob and return its outputs by name."""
        values = self._detector.run(None, {self._inputs[0]: blob})
        return dict(zip(self._outputs, values, strict=True))

    def recognize(self, blob: np.ndarray) -> np.ndarray:
        """Run the embedder on an NCHW blob and return the embedding, not normalized."""
        feature: np.ndarray = self._recognizer.run(None, {self._inputs[1]: blob})[0][0]
        return feature


class OpenVino(_WithNetworks):
    """OpenVINO with networks that NNCF has quantized.

    Args:
        detector: .xml or ONNX file of the detector.
        recognizer: .xml or ONNX file of the embedder.
    """

    def __init__(self, detector: Path, recognizer: Path) -> None:
        import openvino

        core = openvino.Core()
        options = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
        self._detector, self._recognizer = (
            core.compile_model(file, "CPU", options).create_infer_request() for file in (detector, recognizer)
        )
        # An output may have further names beside that of the ONNX file.
        outputs = self._detector.get_compiled_model().outputs
        shapes = {name: tuple(output.shape) for output in outputs for name in output.names}
        super().__init__(f"OpenVINO {openvino.__version__.split('-')[0]}", shapes)
        self._outputs = list(shapes)

    def detect(self, blob: np.ndarray) -> dict[str, np.ndarray]:
        """Run the detector on an NCHW blob and return its outputs by name."""
        self._detector.infer([blob], share_inputs=True)
        return {name: self._detector.get_tensor(name).data for name in self._outputs}

    def recognize(self, blob: np.ndarray) -> np.ndarray:
        """Run the embedder on an NCHW blob and return the embedding, not normalized."""
        self._recognizer.infer([blob], share_inputs=True)
        feature: np.ndarray = self._recognizer.get_output_tensor(0).data[0].copy()
        return feature


def padded(frame: np.ndarray) -> np.ndarray:
    """Scale and pad a frame to the detectors' input size."""
    import cv2

    return _shrink(cv2, frame, (SIDE, SIDE))[0]


def _shrink(cv2: Any, frame: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float]:
    """Scale and pad a frame to a detector's input size; return it with the scale factor."""
    if frame.shape[:2] == size:
        return frame, 1.0
    shrink = min(size[0] / frame.shape[0], size[1] / frame.shape[1])
    rows, columns = round(frame.shape[0] * shrink), round(frame.shape[1] * shrink)
    small = cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA)
    below, beside = size[0] - rows, size[1] - columns
    if below or beside:
        small = cv2.copyMakeBorder(small, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    return small, shrink


def peers(models: Path, zoo: Path, *, clocked: bool = True) -> dict[str, Callable[[], Peer]]:
    """Return peer name -> function that opens the peer; the first peer is the reference for ratios.

    Args:
        models: Folder of converted networks.
        zoo: Folder of the public networks.
        clocked: True if the SDK's peers measure the time spent in networks.
    """
    sdk = partial(Sdk, clocked=clocked)
    int8, floats = models / "sface.cpu_int8.tflite", models / "sface.float32.tflite"
    yunet, sface = zoo / "yunet_n_320_320.onnx", zoo / "sface_2021dec_float.onnx"
    yunet_bq, sface_bq = zoo / "yunet_2023mar_int8bq.onnx", models / "sface_int8bq.onnx"
    opencv = partial(OpenCv, yunet, sface)
    nncf = models / "yunet.nncf_int8.xml", models / "sface.nncf_int8.xml"
    openvino = {
        "OpenVINO float32": lambda: OpenVino(yunet, sface),
        "OpenVINO int8 (NNCF)": lambda: OpenVino(*nncf),
    }
    return {
        "edge-sdk, all int8": partial(sdk, models / "yunet.cpu_int8.tflite", int8),
        "edge-sdk, YuNet float32": partial(sdk, models / "yunet.float32.tflite", int8),
        "edge-sdk, all float32": partial(sdk, models / "yunet.float32.tflite", floats),
        "OpenCV float32": opencv,
        "OpenCV float32, 240x320": lambda: opencv(size=(240, 320)),
        "OpenCV float32, 480x640": lambda: opencv(size=(480, 640)),
        "OpenCV int8 weights": lambda: OpenCv(yunet_bq, sface_bq),
        "ONNX Runtime float32": lambda: OnnxRuntime(yunet, sface),
        "ONNX Runtime, SFace int8": lambda: OnnxRuntime(yunet, sface_bq),
        **(openvino if find_spec("openvino") else {}),
    }
