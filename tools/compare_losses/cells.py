"""One training and its measurements: a cell of the tables."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from converters.data.samples import SampleSet, open_samples
from converters.evaluate.metrics.embedded_samples import EmbeddedSamples
from converters.evaluate.metrics.evidence import Interval, Unsupported
from converters.evaluate.metrics.verification import verify_all_pairs
from edge_sdk.errors import InputError
from edge_train.data.subjects import Subjects
from tools.compare_losses.datasets import DataSet

if TYPE_CHECKING:
    import keras

FMRS = (1e-2, 1e-3)
DIMENSION = 64
_PER_BATCH, _IMAGES = 32, 4
_WAYS, _DRAWS = 20, 500
_CALIBRATION = 200


@dataclass(frozen=True)
class Cell:
    """Loss, budget, seed and peak learning rate of one training."""

    data_set: str
    loss: str
    steps: int
    seed: int
    learning_rate: float = 1e-2

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Cell:
        """Return the cell of a row of ``measure_cell``."""
        return cls(**{item.name: row[item.name] for item in fields(cls) if item.name in row})


@dataclass(frozen=True)
class Rates:
    """Error rates on the held-out subjects.

    Args:
        eer: Equal error rate.
        tar: TAR at each FMR of ``FMRS``, mean over subjects; None if the data do not support it.
        intervals: 95 % interval of each TAR over subjects; None if the data do not support one.
        one_shot: Share of right answers among 20 subjects with one reference image each.
    """

    eer: float
    tar: tuple[float | None, ...]
    intervals: tuple[tuple[float, float] | None, ...]
    one_shot: float

    @classmethod
    def of(cls, vectors: NDArray[np.float32], names: list[str], subjects: list[str]) -> Rates:
        """Compare every image with every other, and draw one-shot tasks with a fixed seed."""
        embedded = EmbeddedSamples("held-out", "0" * 64, tuple(names), tuple(subjects), vectors)
        evidence = verify_all_pairs(embedded, fmrs=FMRS)
        if isinstance(evidence.eer, Unsupported):
            raise InputError(evidence.eer.reason)
        tar: list[float | None] = []
        intervals: list[tuple[float, float] | None] = []
        for point in evidence.points:
            measured = None if isinstance(point, Unsupported) else point.measured
            limits = None if measured is None else measured.tar_interval
            tar.append(None if measured is None else measured.tar)
            intervals.append((limits.low, limits.high) if isinstance(limits, Interval) else None)
        return cls(evidence.eer.rate, tuple(tar), tuple(intervals), one_shot(vectors, subjects))


def one_shot(vectors: NDArray[np.float32], subjects: list[str]) -> float:
    """Return the share of right answers in 20-way one-shot classification (Lake et al. 2015).

    Each of 500 tasks draws 20 subjects, one reference and one probe of each; a probe is classified by the highest cosine.

    Args:
        vectors: Shape (N, D), unit rows.
        subjects: Subject of each row, at least 20 different ones with two rows each.
    """
    rng = np.random.default_rng(0)
    rows: dict[str, list[int]] = {}
    for row, subject in enumerate(subjects):
        rows.setdefault(subject, []).append(row)
    groups = [np.array(group) for group in rows.values() if len(group) > 1]
    right = 0
    for _ in range(_DRAWS):
        chosen = rng.choice(len(groups), _WAYS, replace=False)
        pairs = np.array([rng.choice(groups[group], 2, replace=False) for group in chosen])
        scores = vectors[pairs[:, 0]] @ vectors[pairs[:, 1]].T
        right += int((scores.argmax(axis=1) == np.arange(_WAYS)).sum())
    return right / (_DRAWS * _WAYS)


def measure_cell(cell: Cell, data: DataSet, *, work: Path, int8: bool) -> dict[str, Any]:
    """Train one network and measure it.

    Args:
        cell: Loss, budget, seed and learning rate.
        data: The data set.
        work: Folder for the files of the conversion.
        int8: True also converts the network and measures the int8 file.

    Returns:
        JSON values: the cell, its rates, CPU time and wall time of the training in seconds, and ``int8`` if it was measured; or
        ``error`` if the training failed.
    """
    import keras

    from edge_train.errors import TrainingError
    from edge_train.training.trainer import embed

    subjects = Subjects.of(open_samples(data.training))
    held_out = open_samples(data.held_out)
    keras.backend.clear_session()
    began, wall = time.process_time(), time.monotonic()
    try:
        backbone = _train(cell, data, subjects)
    except TrainingError as error:
        return asdict(cell) | {"error": str(error)}
    spent = {"cpu_s": time.process_time() - began, "wall_s": time.monotonic() - wall}
    names, owners = [s.name for s in held_out.samples], [s.subject for s in held_out.samples]
    pixels = np.stack([held_out.at_size(sample, data.contract) for sample in held_out.samples])
    rates = Rates.of(embed(backbone, pixels, data.contract), names, owners)
    row = asdict(cell) | spent | {"float": asdict(rates)}
    if int8:
        row["int8"] = _measure_int8(backbone, subjects, held_out, data, work)
    return row


def _train(cell: Cell, data: DataSet, subjects: Subjects) -> keras.Model:
    from edge_train.backbones import build_backbone
    from edge_train.data.augment import make_augment
    from edge_train.data.batches import SubjectBatches
    from edge_train.losses import build_loss
    from edge_train.training.loop import train

    contract, classes = data.contract, len(subjects.names)
    backbone = build_backbone("quantized", input_shape=contract.shape, dimension=DIMENSION, seed=cell.seed)
    train(
        backbone,
        lambda steps: build_loss(
            cell.loss, classes=classes, dimension=DIMENSION, steps=steps, seed=cell.seed
        ),
        SubjectBatches(subjects, contract, per_batch=_PER_BATCH, images=_IMAGES, seed=cell.seed),
        contract,
        steps=cell.steps,
        learning_rate=cell.learning_rate,
        augment=make_augment(data.augmentation),
        seed=cell.seed,
    )
    return backbone


def _measure_int8(
    backbone: keras.Model, subjects: Subjects, held_out: SampleSet, data: DataSet, work: Path
) -> dict[str, Any]:
    """Convert by the plain recipe, calibrated on training images, and measure the int8 file."""
    from converters import ConversionOptions, convert
    from converters.data.embedding import embed_crops
    from converters.data.image_set import evenly
    from converters.evaluate.runner.open_artefact import open_artefact

    calibration = work / f"{data.name}.calibration"
    if not calibration.exists():
        partial = work / f"{data.name}.calibration.partial"
        partial.mkdir(parents=True, exist_ok=True)
        by_name = {sample.name: sample for sample in subjects.flat}
        for name in evenly(sorted(by_name), _CALIBRATION):
            (partial / name.replace("/", "_")).write_bytes(subjects.samples.read(by_name[name]))
        partial.rename(calibration)
    source = work / "network.keras"
    backbone.save(source)
    result = convert(
        ConversionOptions(
            model=source, contract=data.contract, calibration=calibration, output=work / "converted"
        )
    )
    (artefact,) = [item for item in result.artefacts if item.recipe == "cpu_int8"]
    pixels = np.stack([held_out.at_size(sample, data.contract) for sample in held_out.samples])
    network = open_artefact(work / "converted" / artefact.file).network
    vectors = embed_crops(network, data.contract, pixels)
    names, owners = [s.name for s in held_out.samples], [s.subject for s in held_out.samples]
    return asdict(Rates.of(vectors, names, owners)) | {"cosine": artefact.cosine_mean}
