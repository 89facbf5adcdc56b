"""Measure how far a replayed int8 network moves if the float network is not exactly the recorded one.

Other tools and processors fold constants with other rounding errors. This tool imitates them: it changes every weight of
the float network by a random share, replays the recipe, and compares the result with the recorded network, on the generated
inputs by which a replay is judged and on images. With a random share of 1 the weights have nothing in common with the
recorded ones any more. The figures are the basis of the tolerance in ``converters/analyze/replay_check.py``.

    python -m tools.replay_tolerance face.onnx --recipe out/face.cpu_int8.recipe.json --images crops/

A detector is given as the float32 file that was written with the recipe, without images:

    python -m tools.replay_tolerance out/yunet.float32.tflite --recipe out/yunet.cpu_int8.recipe.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from converters.analyze.replay_check import check_auxiliary, check_embeddings
from converters.data.calibration import read_calibration, real_inputs
from converters.data.embedding import embed_crops
from converters.data.generated import generated_inputs
from converters.graph.graph import indices
from converters.graph.network import Network
from converters.quantize.int8 import replay_int8
from converters.quantize.recorded import Recording
from converters.quantize.saved_recipe import SavedRecipe, read_saved
from converters.sources.float_model import read_float_model
from edge_sdk.matching import cosine
from edge_sdk.model.model_file import split

#: Standard deviations of the relative changes of the weights; 1.2e-7 is the rounding step of float32.
SHARES = (0.0, 1.2e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 1.0)


def main() -> int:
    """Print one line per size of the change."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--recipe", type=Path, required=True, help="recipe file with statistics")
    parser.add_argument("--images", help="folder or archive of crops; none for a detector")
    arguments = parser.parse_args()
    saved = read_saved(arguments.recipe)
    recording = saved.recording
    if recording is None:
        parser.error(f"{arguments.recipe}: {saved.missing()}")
    if arguments.images is None:
        measure_detector(arguments.model, saved, recording)
        return 0
    contract = recording.contract
    pixels = read_calibration(arguments.images, contract).held_out.pixels
    inputs = real_inputs(generated_inputs(contract), contract)
    network = read_float_model(arguments.model, contract=contract, inputs=inputs).network
    recorded = embed_crops(replay_int8(network, saved.recipe, recording.statistics).network, contract, pixels)
    print(
        "change of the weights  largest LSB  lowest cosine  error to float  relative  images: mean cosine / least"
    )
    for share in SHARES:
        changed = change_weights(network, share)
        replayed = replay_int8(changed, saved.recipe, recording.statistics).network
        check = check_embeddings(replayed, changed, contract, recording)
        cosines = cosine(recorded, embed_crops(replayed, contract, pixels))
        print(
            f"{share:<21g} {check.largest_lsb:>12g} {check.lowest_cosine:>14.4f} {check.error:>15.4f}"
            f" {check.error / check.recorded_error:>9.2f}  {cosines.mean():.4f} / {cosines.min():.4f}"
            + ("" if check.passed else "  refused")
        )
    return 0


def measure_detector(path: Path, saved: SavedRecipe, recording: Recording) -> None:
    """Print one line per size of the change for a network with several outputs."""
    names = tuple(recording.outputs)
    network = Network(split(path.read_bytes())[0])
    print("change of the weights  largest LSB  RMS error, LSB  recorded  allowed")
    for share in SHARES:
        changed = change_weights(network, share)
        check = check_auxiliary(saved.replay(changed).network, changed, recording.contract, names, recording)
        print(
            f"{share:<21g} {check.largest_lsb:>12g} {check.error:>15.3f} {check.recorded_error:>9.3f}"
            f" {check.allowed_error:>8.3f}" + ("" if check.passed else "  refused")
        )


def change_weights(network: Network, share: float) -> Network:
    """Multiply every weight and bias of the weighted operators by 1 + share * a normal random number."""
    random = np.random.default_rng(0)
    graph = network.edit()
    for operator in graph.operators:
        if graph.op_name(operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        for index in indices(operator.inputs)[1:]:
            value = graph.constant(index) if index >= 0 else None
            if value is not None:
                factor = 1 + share * random.standard_normal(value.shape)
                graph.set_constant(index, (value * factor).astype(np.float32))
    return Network.of(graph)


if __name__ == "__main__":
    raise SystemExit(main())
