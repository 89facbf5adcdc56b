"""Training in a child process: ``python -m converters.quantize.distill.worker FOLDER``.

The job's folder contains ``teacher.tflite``, ``reference.tflite``, ``integer.tflite``, ``pixels.npy`` and
``selection.npy``. The worker writes one ``constant_N.npy`` for each trained constant.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.graph.network import Network
from converters.jobs.worker import report_progress, serve
from converters.quantize.distill.schedule import TrainingLength
from converters.quantize.distill.training_result import TrainingResult
from edge_sdk.model.array_contract import AnyContract, read_contract

#: Lowest cosine allowed between the embeddings of the rebuilt float network and of the interpreter.
EQUAL_COSINE = 0.999999
_CHECKED_IMAGES = 8
_THREADS = 2


def work(request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train the networks in the folder, write the constants as arrays and return the other results."""
    trained = _train(folder, request)
    for number, value in enumerate(trained.constants.values()):
        np.save(folder / f"constant_{number}.npy", value)
    return {
        "constants": list(trained.constants),
        "ranges": {name: [ends.low, ends.high] for name, ends in trained.ranges.items()},
        "steps": trained.steps,
        "curve": [asdict(point) for point in trained.curve],
        "best_step": trained.best_step,
        "images_per_second": trained.images_per_second,
    }


def _train(folder: Path, request: Mapping[str, Any]) -> TrainingResult:
    import tensorflow as tf

    # Use the same number of threads on every machine, because this number changes the last bits of sums.
    tf.config.threading.set_intra_op_parallelism_threads(_THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(request["seed"])
    from converters.quantize.distill.student import FloatNetwork, Student
    from converters.quantize.distill.training import train

    contract = read_contract(request["contract"])
    pixels = np.load(folder / "pixels.npy")
    networks = {
        name: Network((folder / f"{name}.tflite").read_bytes())
        for name in ("teacher", "reference", "integer")
    }
    teacher = FloatNetwork(networks["teacher"])
    _check(teacher, networks["teacher"], contract, pixels)
    return train(
        teacher,
        Student(networks["integer"], networks["reference"]),
        contract,
        pixels=pixels,
        selection=np.load(folder / "selection.npy"),
        length=TrainingLength(request["steps"], request["seconds"]),
        seed=request["seed"],
        highest_rate=request["highest_rate"],
        progress=report_progress,
    )


def _check(teacher: Any, network: Network, contract: AnyContract, pixels: Any) -> None:
    """Check that the rebuilt network, run on a batch, gives the embeddings of the interpreter.

    Raises:
        ConversionError: an embedding differs.
    """
    from converters.data.calibration import real_inputs
    from converters.data.embedding import embed_crops
    from converters.quantize.distill.training import embed

    crops = pixels[:_CHECKED_IMAGES]
    reference = embed_crops(network, contract, crops)
    cosine = float((embed(teacher, real_inputs(crops, contract)) * reference).sum(axis=1).min())
    if not cosine >= EQUAL_COSINE:
        raise ConversionError(
            f"distillation: expected a cosine of at least {EQUAL_COSINE} between the rebuilt float network and the interpreter,"
            f" found {cosine:.6f}"
        )


if __name__ == "__main__":
    serve(Path(sys.argv[1]), work)
