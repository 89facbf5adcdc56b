"""Convert networks of ``onnx_variants.py`` and print how they agree: ``python convert_variants.py lowered|whole NAME ...``.

The tests run this script in a separate process, which loads TensorFlow once for all networks. It prints one JSON object:
for each name the least cosine to onnxruntime's outputs, or an error.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parent))

import onnx_variants

from converters.sources import from_onnx, onnx_file, onnx_folding, onnx_interface, onnx_run, tflite_network
from converters.sources.onnx_tflite import lower_to_tflite
from converters.sources.source_request import SourceRequest
from edge_sdk.matching import cosine
from edge_sdk.model.array_contract import ArrayContract
from edge_sdk.model.card import InputContract

NORMALIZATION = {1: ("gray", (0.0,), (1.0,)), 3: ("rgb", (0.0,) * 3, (1.0,) * 3)}


def contract_of(model):
    shape = onnx_variants.contract_shape(model)
    if len(shape) != 3:
        return ArrayContract(tuple(shape), low=-5.0, high=5.0)
    color, mean, scale = NORMALIZATION[shape[2]]
    return InputContract(shape[0], shape[1], color, mean, scale)


def lowered(request):
    """Convert without onnx2tf, so that every operator is lowered."""
    model, _ = onnx_file.load(request)
    interface = onnx_interface.examine(model, request.contract)
    witness = onnx_run.embed(model, interface, request.inputs)
    onnx_interface.fix_shape(model, interface, request.contract)
    model, _ = onnx_folding.fold_constants(model)
    return lower_to_tflite(model, request, interface), witness


def agreement(name, way):
    model = onnx_variants.VARIANTS[name]()
    contract = contract_of(model)
    inputs = np.random.default_rng(1).normal(size=(3, *contract.shape)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        onnx.save(model, file)
        request = SourceRequest(kind="onnx", path=file, contract=contract, inputs=inputs, folder=Path(folder))
        if way == "lowered":
            tflite, witness = lowered(request)
        else:
            converted = from_onnx.convert(request)
            tflite, witness = converted.tflite, converted.witness
    assert np.abs(witness - witness[:1]).max() > 1e-3 * np.abs(witness).max(), "the output is constant"
    return float(cosine(tflite_network.embed(tflite, inputs, contract), witness).min())


def main(way, names):
    results = {}
    for name in names:
        try:
            results[name] = agreement(name, way)
        except Exception as error:  # noqa: BLE001
            results[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
