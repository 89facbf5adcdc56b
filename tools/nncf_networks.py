"""YuNet and SFace in int8 by NNCF, for the OpenVINO peer of `tools.compare_runtimes`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np

#: Calibration images; NNCF's own default.
IMAGES = 300


def quantize(onnx: Path, output: Path, images: Iterable[np.ndarray]) -> None:
    """Quantize a network and write it as OpenVINO IR.

    Args:
        onnx: The float network, with one NCHW input of pixels 0..255.
        output: The .xml file to write; the weights are written beside it.
        images: Calibration images, of which the first ``IMAGES`` are used, of the network's input size, (H, W, 3), uint8, in its order of channels.
    """
    import nncf
    import openvino

    blobs = [
        np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) for image in islice(images, IMAGES)
    ]
    quantized = nncf.quantize(
        openvino.Core().read_model(onnx),
        nncf.Dataset(blobs),
        # The preset for activations that are not symmetric, such as those of PReLU.
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(blobs),
    )
    openvino.save_model(quantized, output, compress_to_fp16=False)
