"""Write the vectors that all clients share: inputs and right outputs of each module of the device path.

    python -m tests.vectors.clients.make_vectors

The values come from `edge_sdk`. docs/reference/client-vectors.md describes the files.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.card import InputContract
from edge_sdk.model.golden import digest, smooth_field
from edge_sdk.model.landmark_template import arcface
from edge_sdk.runtime.backends.base import TensorInfo
from edge_sdk.runtime.network import Output
from edge_sdk.runtime.quantization import make_encoder, unit_embedding
from edge_sdk.types import UInt8Array
from edge_sdk.vision.alignment import align, similarity, template_of
from edge_sdk.vision.blazeface import GRIDS, BlazeFaceDecoder, anchors
from edge_sdk.vision.candidates import Decoder, merge
from edge_sdk.vision.faces import Face
from edge_sdk.vision.quality import Limits, assess, refusals
from edge_sdk.vision.resize import fit, resize_bilinear, resize_fast
from edge_sdk.vision.yunet import YuNetDecoder

FOLDER = Path(__file__).parent
SCHEMA = "edge-sdk/client-vectors/1"
#: Largest difference of a client by field; a field that is not named must be equal.
TOLERANCES: Mapping[str, Mapping[str, float]] = {
    "resize": {"pixels": 1},  # `fit` sums in float32
    "align": {"matrix": 1e-9, "pixels": 1},
    "detect": {"faces": 1e-6},
    "quality": {"measures": 1e-4},
    "embed": {"embedding": 1e-6},
}
Case = dict[str, Any]


def coded(array: NDArray[Any]) -> dict[str, Any]:
    """Encode an array as dtype, shape and base64 of its little-endian values."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(little.tobytes()).decode(),
    }


def photograph(height: int, width: int, seed: int) -> UInt8Array:
    """Draw a smooth image with noise: shape (height, width, 3), uint8."""
    noise = np.random.default_rng(seed).integers(-20, 21, (height, width, 3))
    pixels: UInt8Array = np.clip(smooth_field((height, width, 3), seed) + noise, 0, 255).astype(np.uint8)
    return pixels


def encode_cases() -> Iterator[Case]:
    """Pixels to codes: types, colours, a mean and a scale per channel, rounding of ties, clipping."""
    face, imagenet = ([127.5] * 3, [128.0] * 3), ([123.0, 117.0, 104.0], [58.0, 57.0, 57.0])
    for name, dtype, step, zero_point, (mean, scale), color in (
        ("int8", "int8", 1 / 128, -1, face, "rgb"),
        ("uint8 with blue first", "uint8", 1 / 128, 127, face, "bgr"),
        ("float32 with blue first", "float32", 0.0, 0, imagenet, "bgr"),
        ("channels that differ, clipped", "int8", 0.012, 3, imagenet, "rgb"),
        ("pixels as they are", "uint8", 1.0, 0, ([0.0] * 3, [1.0] * 3), "rgb"),
        ("ties", "uint8", 2.0, 0, ([0.0] * 3, [1.0] * 3), "rgb"),
        ("gray", "int8", 1 / 128, 0, ([127.5], [128.0]), "gray"),
    ):
        channels = len(mean)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (16, 17, channels)).astype(np.uint8)
        pixels[0, :4] = np.array([0, 1, 254, 255])[:, None]
        tensor = TensorInfo((1, *pixels.shape), np.dtype(dtype), step, zero_point)
        codes = np.zeros(tensor.shape, dtype)
        make_encoder(InputContract(16, 17, color, tuple(mean), tuple(scale)), tensor)(pixels, codes)
        stated = {"dtype": dtype, "scale": step, "zero_point": zero_point}
        given = {"mean": mean, "scale": scale, "color": color, "tensor": stated, "pixels": coded(pixels)}
        yield {"name": name, "input": given, "expected": {"codes": coded(codes[0])}}


def resize_cases() -> Iterator[Case]:
    """Resizing: smaller, larger, another aspect ratio, sides that do not divide."""
    methods = {"fit": fit, "fast": resize_fast, "bilinear": resize_bilinear}
    sizes = (((60, 80), (30, 40)), ((45, 35), (56, 48)), ((61, 83), (20, 33)), ((24, 24), (48, 48)))
    for method, resize in methods.items():
        for (rows, columns), (height, width) in sizes:
            pixels = photograph(rows, columns, rows)
            given = {"pixels": coded(pixels), "height": height, "width": width, "method": method}
            expected = {"pixels": coded(resize(pixels, height, width))}
            yield {
                "name": f"{method} {rows}x{columns} to {height}x{width}",
                "input": given,
                "expected": expected,
            }


def faces_in_frame() -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Landmarks of faces in a frame of 72 x 96: upright, turned, small, and partly outside; shape (5, 2)."""
    base = np.array(arcface(112, 112)) / 112
    for number, (name, size, angle, place) in enumerate(
        (
            ("upright", 48, 0.0, (20, 10)),
            ("turned", 40, 0.6, (50, 15)),
            ("small", 20, -0.2, (60, 40)),
            ("upside down", 30, 3.0, (60, 60)),
            ("left of the frame", 50, 0.0, (-25, -15)),
            ("larger than the frame", 160, 0.1, (-30, -40)),
        )
    ):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        noise = np.random.default_rng(number).normal(0, 0.02 * size, (5, 2))
        yield name, ((base @ turn.T) * size + place + noise).astype(np.float32)


def align_cases() -> Iterator[Case]:
    """Landmarks to an aligned crop."""
    frame = photograph(72, 96, 3)
    contract = InputContract(56, 48, "rgb", (0.0,) * 3, (1.0,) * 3, tuple(_template(56, 48)))
    for name, landmarks in faces_in_frame():
        expected = {
            "matrix": coded(similarity(landmarks, template_of(contract))),
            "pixels": coded(align(frame, landmarks, contract)),
        }
        given = {"pixels": coded(frame), "landmarks": coded(landmarks), "height": 56, "width": 48}
        given["points"] = coded(np.array(contract.alignment, np.float64))
        yield {"name": name, "input": given, "expected": expected}


def _template(height: int, width: int) -> list[tuple[float, float]]:
    """Return ArcFace's template for 112 x 96, reduced."""
    rows, columns = height / 112, width / 96
    return [(x * columns, y * rows) for x, y in arcface(112, 96)]


def detect_cases() -> Iterator[Case]:
    """Output tensors of a detector to faces, in pixels of the frame."""
    for name, step in (("yunet, float", 0.0), ("yunet, int8", 0.02)):
        outputs = dict(_yunet_outputs(64, 96, step))
        decoder = YuNetDecoder(64, 96, {key: value.values.shape for key, value in outputs.items()})
        yield _detection(name, "yunet", decoder, outputs, (64, 96), 0.6, blend=False)
    for method in GRIDS:
        count, random = len(anchors(method, 128, 128)), np.random.default_rng(5)
        places = random.normal(0, 8, (1, count, 16)) + np.array([0, 0, 40, 40] + [0] * 12)
        scores = random.normal(-4, 2, (1, count, 1))
        outputs = {
            "regressors": Output(places.astype(np.float32)),
            "scores": Output(scores.astype(np.float32)),
        }
        shapes = {key: value.values.shape for key, value in outputs.items()}
        blaze = BlazeFaceDecoder(method, 128, 128, shapes)
        yield _detection(method, method, blaze, outputs, (128, 128), 0.5, blend=True)
        if method == next(iter(GRIDS)):
            none = {**outputs, "scores": Output(np.full((1, count, 1), -20, np.float32))}
            yield _detection(f"{method}, no face", method, blaze, none, (128, 128), 0.5, blend=True)


def _yunet_outputs(height: int, width: int, step: float) -> Iterator[tuple[str, Output]]:
    random = np.random.default_rng(int(step > 0))
    for stride in (8, 16, 32):
        count = (height // stride) * (width // stride)
        for part, depth in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            values = random.normal(0, 0.7, (1, count, depth)).astype(np.float32)
            values = np.abs(values) * np.float32(0.75) if depth == 1 else values
            codes = np.clip(np.rint(values / (step or 1)) + 5, -128, 127).astype(np.int8)
            yield f"{part}_{stride}", Output(codes, step, 5) if step else Output(values)


def _detection(
    name: str,
    method: str,
    decoder: Decoder,
    outputs: Mapping[str, Output],
    size: tuple[int, int],
    min_score: float,
    *,
    blend: bool,
) -> Case:
    kept = merge(decoder.decode(outputs, min_score).mapped(2, 2, 0, 0), 0.3, blend=blend)
    rows = zip(kept.boxes.tolist(), kept.scores.tolist(), kept.landmarks.tolist(), strict=True)
    tensors = {
        key: {**coded(value.values), "scale": value.scale, "zero_point": value.zero_point}
        for key, value in outputs.items()
    }
    given = {
        "method": method,
        "min_score": min_score,
        "height": size[0],
        "width": size[1],
        "outputs": tensors,
    }
    given |= {"frame_height": 2 * size[0], "frame_width": 2 * size[1]}
    faces = [{"box": box, "score": score, "landmarks": points} for box, score, points in rows]
    return {"name": name, "input": given, "expected": {"faces": faces}}


def quality_cases() -> Iterator[Case]:
    """Measures of a face, and the reasons for which a picture is refused."""
    frame = photograph(72, 96, 3)
    for name, landmarks in faces_in_frame():
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        box = tuple(map(float, (*(low - (high - low) / 2), *(2 * (high - low)))))
        face = Face(box, landmarks.astype(np.float64), 0.9)
        quality = assess(frame, face, detail=True)
        detail = quality.detail
        assert detail is not None
        measures = {
            **{
                key: getattr(quality, key)
                for key in ("eye_distance_px", "sharpness", "brightness", "contrast")
            },
            **{key: getattr(quality, key) for key in ("exposed_wrongly", "landmark_misfit", "eye_contrast")},
            **{key: getattr(quality, key) for key in ("detection", "rival")},
            **{key: getattr(quality.pose, key) for key in ("yaw_deg", "pitch_deg", "roll_deg")},
            **{key: getattr(detail, key) for key in ("eyes", "mouth", "side_light")},
            "detail_sharpness": detail.sharpness,
        }
        for kind, limits in (("recognition", Limits()), ("enrolment", Limits.enrolment())):
            shown = {"box": list(box), "landmarks": landmarks.tolist(), "score": 0.9}
            given = {"pixels": coded(frame), "face": shown, "limits": kind}
            reasons = [refusal.reason for refusal in refusals(quality, limits)]
            expected = {
                "measures": {key: float(value) for key, value in measures.items()},
                "reasons": reasons,
            }
            yield {"name": f"{name}, {kind}", "input": given, "expected": expected}


def embed_cases() -> Iterator[Case]:
    """Output codes to a unit embedding; an output without direction is refused."""
    random = np.random.default_rng(7)
    for name, codes, zero_point in (
        ("int8", random.integers(-128, 128, 192).astype(np.int8), -3),
        ("uint8", random.integers(0, 256, 128).astype(np.uint8), 127),
        ("float32", random.normal(0, 3, 512).astype(np.float32), 0),
        ("small values", random.normal(0, 1e-18, 64).astype(np.float32), 0),
        ("every code is the zero point", np.full(8, 3, np.int8), 3),
        ("zeros", np.zeros(8, np.float32), 0),
        ("not a number", np.array([1, np.nan, 0], np.float32), 0),
        ("infinite", np.array([1, np.inf, 0], np.float32), 0),
    ):
        case: Case = {"name": name, "input": {"codes": coded(codes), "zero_point": zero_point}}
        try:
            yield {**case, "expected": {"embedding": coded(unit_embedding(codes, zero_point))}}
        except EdgeSdkError:
            yield {**case, "refused": "an output without direction"}


def golden_cases() -> Iterator[Case]:
    """Inputs of golden vectors, from a seed."""
    for height, width, channels, seed in (
        (112, 112, 3, 0),
        (96, 96, 3, 1),
        (112, 96, 3, 2**31 - 1),
        (17, 33, 1, 5),
    ):
        expected = {"pixels_sha256": digest(smooth_field((height, width, channels), seed))}
        given = {"seed": seed, "shape": [height, width, channels]}
        yield {"name": f"{height}x{width}x{channels}, seed {seed}", "input": given, "expected": expected}


def suites() -> dict[str, str]:
    """Return the text of every file by the name of its suite."""
    cases: dict[str, Iterable[Case]] = {
        "encode": encode_cases(),
        "resize": resize_cases(),
        "align": align_cases(),
        "detect": detect_cases(),
        "quality": quality_cases(),
        "embed": embed_cases(),
        "golden": golden_cases(),
    }
    return {name: _text(name, list(rows)) for name, rows in cases.items()}


def _text(name: str, cases: list[Case]) -> str:
    value = {"schema": SCHEMA, "suite": name, "tolerance": TOLERANCES.get(name, {}), "cases": cases}
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def main() -> None:
    """Write the files."""
    for name, text in suites().items():
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        print(f"{name}.json: {len(json.loads(text)['cases'])} cases, {len(text):,} bytes")


if __name__ == "__main__":
    main()
