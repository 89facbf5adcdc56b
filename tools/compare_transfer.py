"""Compare ways to tune a trained network, and distillation with training by labels.

    python -m tools.compare_transfer tuning --output work/transfer --omniglot ../shared/omniglot
    python -m tools.compare_transfer distillation --output work/transfer --teacher ../shared/zoo/mobilefacenet_y1_float32.tflite \\
        --contract y1.contract.json --crops ../shared/faces/lfw_devtest_aligned112.tar

Tuning: a network trained on drawn products is tuned on characters of Omniglot, and measured on other alphabets. Distillation:
half of the people of the crops are trained on, the other half is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from converters.progress import logged_stages, stage
from edge_sdk import console

PROGRAM = "compare-transfer"
_PX, _WIDTH, _DIMENSION = 48, 0.5, 64
_PER_BATCH, _IMAGES = 16, 4
_RATE = 5e-3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=(__doc__ or "").split("\n", 1)[0])
    add = parser.add_argument
    add("what", choices=("tuning", "distillation"), help="table to make")
    add("--output", type=Path, required=True, help="folder for pictures and networks")
    add("--omniglot", type=Path, help="tuning: folder with Omniglot's archives")
    add(
        "--subjects",
        type=int,
        default=40,
        help="tuning: number of characters to tune on (default: %(default)s)",
    )
    add("--teacher", type=Path, help="distillation: the teacher")
    add("--contract", type=Path, help="distillation: JSON file with the teacher's input contract")
    add("--crops", type=Path, help="distillation: archive of crops, one folder per person")
    add("--steps", type=int, default=100, help="steps of 64 images (default: %(default)s)")
    add("--seeds", type=int, default=2, help="number of seeds (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; return the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.what == "tuning" and arguments.omniglot is None:
        parser.error("tuning needs --omniglot")
    if arguments.what == "distillation" and (arguments.teacher is None or arguments.crops is None):
        parser.error("distillation needs --teacher and --crops")
    arguments.output.mkdir(parents=True, exist_ok=True)
    compare = compare_tuning if arguments.what == "tuning" else compare_distillation
    with logged_stages(PROGRAM):
        rows = compare(arguments)
    print("\n".join(rows))
    return 0


def compare_tuning(arguments: argparse.Namespace) -> list[str]:
    """Tune a network of products on characters in several ways; return the table as lines."""
    import keras

    from converters.data.samples import open_samples
    from edge_sdk.model.card import InputContract
    from edge_train.backbones import build_backbone
    from edge_train.data.subjects import Subjects
    from tools.compare_losses.datasets import omniglot, products

    contract = InputContract(_PX, _PX, "rgb", (127.5,) * 3, (128.0,) * 3)
    drawn = products(arguments.output)
    letters = omniglot(arguments.omniglot, arguments.output)
    file = arguments.output / "products.keras"

    def new(seed: int) -> Any:
        return build_backbone(
            "quantized", input_shape=contract.shape, dimension=_DIMENSION, width=_WIDTH, seed=seed
        )

    if not file.exists():
        model = new(0)
        _train(
            model,
            Subjects.of(open_samples(drawn.training)),
            contract,
            3 * arguments.steps,
            _RATE,
            0,
            "products",
        )
        model.save(file)
    samples = open_samples(letters.training)
    names = sorted({sample.subject for sample in samples.samples})
    chosen = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())[: arguments.subjects]
    tuned = Subjects.of(samples, chosen)
    measured = Subjects.of(open_samples(letters.held_out))
    load = lambda seed: keras.saving.load_model(file)  # noqa: E731
    ways: list[tuple[str, Callable[[int], Any], float, Callable[[Any], None]]] = [
        ("new network", new, _RATE, lambda model: None),
        ("all weights, rate 5e-3", load, 5e-3, lambda model: None),
        ("all weights, rate 1e-3", load, 1e-3, lambda model: None),
        ("all weights, rate 3e-4", load, 3e-4, lambda model: None),
        ("all weights, rate 1e-3, statistics frozen", load, 1e-3, freeze_statistics),
        ("last third, rate 1e-3", load, 1e-3, lambda model: freeze(model, 2 / 3)),
        ("last layer, rate 1e-3", load, 1e-3, lambda model: freeze(model, 1.0)),
    ]
    rows = ["| way | EER | TAR at FMR 1e-2 |", "|---|---|---|"]
    rows.append(_row("not tuned", [_rates(keras.saving.load_model(file), measured, contract)]))
    print(rows[-1], file=sys.stderr, flush=True)
    for name, make, rate, prepare in ways:
        results = []
        for seed in range(arguments.seeds):
            model = make(seed)
            prepare(model)
            with stage(f"{name}, seed {seed}"):
                _train(model, tuned, contract, arguments.steps, rate, seed, "drawings")
            results.append(_rates(model, measured, contract))
        rows.append(_row(name, results))
        print(rows[-1], file=sys.stderr, flush=True)
    return rows


def freeze(model: Any, share: float) -> None:
    """Freeze the first part of the layers with weights; 1 leaves only the last layer that is no normalization."""
    import keras

    layers = [layer for layer in model.layers if layer.weights]
    inner = [k for k, layer in enumerate(layers) if not isinstance(layer, keras.layers.BatchNormalization)]
    first = inner[min(int(share * len(inner)), len(inner) - 1)]
    for layer in layers[:first]:
        layer.trainable = False


def freeze_statistics(model: Any) -> None:
    """Freeze all batch normalizations: they use and keep the start network's statistics."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def compare_distillation(arguments: argparse.Namespace) -> list[str]:
    """Train students with and without labels; return the table as lines."""
    import numpy as np

    from converters.data.samples import open_samples
    from edge_sdk.model.card import InputContract
    from edge_train.backbones import build_backbone
    from edge_train.data.subjects import Subjects
    from edge_train.transfer.agreement import agreement
    from edge_train.transfer.choice import embed_subjects
    from edge_train.transfer.distillation import TeacherBatches, as_subjects
    from edge_train.transfer.teacher import read_teacher, teacher_embeddings

    contract = InputContract(_PX, _PX, "rgb", (127.5,) * 3, (128.0,) * 3)
    samples = open_samples(arguments.crops)
    names = sorted({sample.subject for sample in samples.samples})
    names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
    half = len(names) // 2
    trained, measured = Subjects.of(samples, sorted(names[:half])), Subjects.of(samples, sorted(names[half:]))
    images = as_subjects(samples, trained.flat)
    teacher = read_teacher(arguments.teacher, images, contract=arguments.contract)
    with stage("embed with the teacher") as progress:
        targets = teacher_embeddings(teacher, images, arguments.output / "trained", progress=progress)
        expected = teacher_embeddings(teacher, measured, arguments.output / "measured", progress=progress)
    labels = measured.labels.astype(np.int64)
    rows = [
        f"{len(trained.flat)} crops of {half} people to train, {len(measured.flat)} of {len(names) - half} to measure",
        "| network | cosine to the teacher | EER | TAR at FMR 1e-2 | TAR at FMR 1e-3 | EER against the teacher's references |",
        "|---|---|---|---|---|---|",
        f"| teacher | 1 | {_percents(_scored(expected, labels))} | - |",
    ]
    print("\n".join(rows), file=sys.stderr, flush=True)
    for name, augmentation in (
        ("student, augmented", "faces"),
        ("student, not augmented", "none"),
        ("labels, ArcFace, augmented", "faces"),
    ):
        for seed in range(arguments.seeds):
            student = build_backbone(
                "quantized", input_shape=contract.shape, dimension=teacher.dimension, width=_WIDTH, seed=seed
            )
            size = _PER_BATCH * _IMAGES
            batches = TeacherBatches(images, contract, targets, size=size, seed=seed)
            with stage(f"{name}, seed {seed}"):
                if name.startswith("labels"):
                    _train(student, trained, contract, arguments.steps, _RATE, seed, augmentation)
                else:
                    _distil(student, batches, contract, arguments.steps, seed, augmentation)
            vectors = embed_subjects(student, measured, contract)
            result = agreement(vectors, expected, measured)
            rates = _percents(_scored(vectors, labels))
            crossed = "-" if result.crossed_eer is None else f"{100 * result.crossed_eer:.1f} %"
            rows.append(f"| {name}, seed {seed} | {result.cosine_mean:.3f} | {rates} | {crossed} |")
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def _train(
    model: Any, subjects: Any, contract: Any, steps: int, rate: float, seed: int, augmentation: str
) -> None:
    from edge_train.data.augment import make_augment
    from edge_train.data.batches import SubjectBatches
    from edge_train.losses import build_loss
    from edge_train.training.loop import train

    def loss(steps: int) -> Any:
        dimension = int(model.output_shape[-1])
        return build_loss(
            "arcface", classes=len(subjects.names), dimension=dimension, steps=steps, settings={}, seed=seed
        )

    batches = SubjectBatches(subjects, contract, per_batch=_PER_BATCH, images=_IMAGES, seed=seed)
    train(
        model,
        loss,
        batches,
        contract,
        steps=steps,
        learning_rate=rate,
        seed=seed,
        augment=make_augment(augmentation),
    )


def _distil(model: Any, batches: Any, contract: Any, steps: int, seed: int, augmentation: str) -> None:
    from edge_train.data.augment import make_augment
    from edge_train.training.loop import train
    from edge_train.transfer.distillation import CosineToTeacher

    train(
        model,
        lambda steps: CosineToTeacher(),
        batches,
        contract,
        steps=steps,
        learning_rate=_RATE,
        seed=seed,
        augment=make_augment(augmentation),
    )


def _rates(model: Any, subjects: Any, contract: Any) -> list[float]:
    import numpy as np

    from edge_train.transfer.choice import embed_subjects

    return _scored(embed_subjects(model, subjects, contract), subjects.labels.astype(np.int64))[:2]


def _scored(vectors: Any, labels: Any) -> list[float]:
    """Return EER, TAR at FMR 1e-2 and TAR at FMR 1e-3; NaN for a rate that the images do not support."""
    import numpy as np

    from converters.evaluate.metrics.curves import equal_error_rate, false_non_match_rate, threshold_at_fmr
    from converters.evaluate.metrics.evidence import Unsupported
    from converters.evaluate.metrics.scores import all_pairs

    scores = all_pairs(vectors, labels)
    eer = equal_error_rate(scores)
    values = [float("nan") if isinstance(eer, Unsupported) else eer.rate]
    for fmr in (1e-2, 1e-3):
        threshold = threshold_at_fmr(scores, fmr)
        if isinstance(threshold, Unsupported):
            values.append(float("nan"))
        else:
            values.append(1.0 - float(false_non_match_rate(scores, np.array([threshold]))[0]))
    return values


def _percents(values: Sequence[float]) -> str:
    return " | ".join(f"{100 * value:.1f} %" for value in values)


def _row(name: str, results: Sequence[Sequence[float]]) -> str:
    cells = (" / ".join(f"{100 * value:.1f} %" for value in column) for column in zip(*results, strict=True))
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(console.run(PROGRAM, main))
