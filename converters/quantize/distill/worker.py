"""The child process that trains: ``python -m converters.quantize.distill.worker FOLDER``.

FOLDER holds ``request.json``, ``teacher.tflite``, ``twin.tflite``, ``integer.tflite``, ``pixels.npy`` and
``selection.npy``; it gets ``constants.npz`` and, last and whole, ``result.json``. Each line of stdout is the share
that is done.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.quantize.distill.options import Length, Trained
from edge_sdk.model.card import InputContract

#: Least cosine of the rebuilt float network to the interpreter's answer.
EQUAL_COSINE = 0.999999
_CHECKED_IMAGES = 8
_THREADS = 2


def main(folder: Path) -> int:
    """Answer the request in the folder; 0 where it was answered, with an error or without."""
    try:
        trained = _train(folder, json.loads((folder / "request.json").read_text()))
    except ConversionError as error:
        return _finish(folder, {"error": str(error), "hint": error.hint})
    for number, value in enumerate(trained.constants.values()):
        np.save(folder / f"constant_{number}.npy", value)
    return _finish(
        folder,
        {
            "constants": list(trained.constants),
            "ranges": {name: [found.low, found.high] for name, found in trained.ranges.items()},
            "steps": trained.steps,
            "curve": [asdict(point) for point in trained.curve],
            "best_step": trained.best_step,
            "images_per_second": trained.images_per_second,
        },
    )


def _train(folder: Path, request: dict[str, Any]) -> Trained:
    import tensorflow as tf

    # As many on every machine: how a sum is divided among threads shows in its last bit.
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(request["seed"])
    from converters.quantize.distill.student import FloatNetwork, Student
    from converters.quantize.distill.training import train

    contract = InputContract.from_json(request["contract"])
    pixels = np.load(folder / "pixels.npy")
    teacher = FloatNetwork((folder / "teacher.tflite").read_bytes())
    _check(teacher, (folder / "teacher.tflite").read_bytes(), contract, pixels)
    return train(
        teacher,
        Student((folder / "integer.tflite").read_bytes(), (folder / "twin.tflite").read_bytes()),
        contract,
        pixels=pixels,
        selection=np.load(folder / "selection.npy"),
        length=Length(request["steps"], request["seconds"]),
        seed=request["seed"],
        highest_rate=request["highest_rate"],
        progress=lambda share: print(f"{share:.4f}", flush=True),
    )


def _check(teacher: Any, network: bytes, contract: InputContract, pixels: Any) -> None:
    """The rebuilt network must answer as the interpreter does: a batch may not mix, an operator may not differ."""
    from converters.data.calibration import real_inputs
    from converters.data.embedding import embed_crops
    from converters.quantize.distill.training import embeddings

    crops = pixels[:_CHECKED_IMAGES]
    wanted = embed_crops(network, contract, crops)
    found = float((embeddings(teacher, real_inputs(crops, contract)) * wanted).sum(axis=1).min())
    if not found >= EQUAL_COSINE:
        raise ConversionError(
            f"recovery: expected the rebuilt float network to answer as the file does, found a cosine of {found:.6f}"
        )


def _finish(folder: Path, value: dict[str, Any]) -> int:
    """Write the result under another name first, so that the parent never reads half of it."""
    draft = folder / "result.json.part"
    draft.write_text(json.dumps(value))
    draft.replace(folder / "result.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
