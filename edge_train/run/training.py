"""Train the network of a plan, and write it with its input contract and history."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sdk.model.card import InputContract
from edge_train.data.split import Split
from edge_train.plan import Plan
from edge_train.run.work_folder import read_values

if TYPE_CHECKING:
    import keras

    from edge_train.data.batches import Batches
    from edge_train.training.loop import Curve
    from edge_train.training.trainer import Objective

#: Normalization of all networks: (pixel - 127.5) / 128.
MEAN, SCALE = 127.5, 128.0


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network in the work folder.

    Args:
        network: The ``.keras`` file.
        values: JSON values: steps, seconds, device, ``losses`` of each step, and ``curve``, a list of (step, values).
    """

    network: Path
    values: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, name: str) -> TrainedNetwork:
        """Read a finished training."""
        file = folder / f"{name}.history.json"
        keys = ("steps", "seconds", "losses", "curve")
        values = read_values(file, keys=keys, hint=f"remove {folder.parent} to begin again")
        return cls(folder / f"{name}.keras", values)

    def to_json(self) -> dict[str, Any]:
        """Return steps, time and device as JSON values, without the history."""
        return {key: value for key, value in self.values.items() if key not in ("losses", "curve")}


@dataclass(frozen=True, eq=False)
class TrainingParts:
    """Network, loss, batches and curve of a training.

    Args:
        backbone: Model from normalized pixels to embeddings; trained in place.
        objective: Builds the loss for a number of steps.
        batches: Training batches.
        curve: Measures the backbone during training; None for no curve.
        contract: Input contract of the backbone.
    """

    backbone: keras.Model
    objective: Callable[[int], Objective]
    batches: Batches
    curve: Curve | None
    contract: InputContract


def input_contract(plan: Plan) -> InputContract:
    """Return the input contract of a plan's network."""
    channels = 1 if plan.color == "gray" else 3
    return InputContract(*plan.size, plan.color, (MEAN,) * channels, (SCALE,) * channels)


def labelled_parts(
    plan: Plan, split: Split, contract: InputContract, backbone: keras.Model | None = None
) -> TrainingParts:
    """Return the parts of a training with labels.

    Args:
        plan: Settings.
        split: Training subjects, and calibration subjects for the curve.
        contract: Input contract of the network.
        backbone: Network to train; None builds the plan's.
    """
    from edge_train.data.batches import SubjectBatches
    from edge_train.training.curves import CalibrationCurve

    batches = SubjectBatches(
        split.train,
        contract,
        per_batch=plan.subjects_per_batch,
        images=plan.images_per_subject,
        seed=plan.seed,
    )
    return TrainingParts(
        starting_network(plan, contract) if backbone is None else backbone,
        lambda steps: objective(plan, split, steps),
        batches,
        CalibrationCurve(split.calibration, contract),
        contract,
    )


def train_network(
    plan: Plan,
    parts: Callable[[], TrainingParts],
    name: str,
    *,
    digest: str,
    folder: Path,
    work: Path,
    tensorboard: bool = False,
) -> None:
    """Train, and write ``NAME.keras``, ``NAME.contract.json``, ``NAME.history.csv`` and ``NAME.history.json``.

    Args:
        plan: Settings.
        parts: Returns network, loss and batches, such as ``lambda: labelled_parts(plan, split, contract)``.
        name: The model's name.
        digest: Digest of everything that determines the result.
        folder: Folder for the files.
        work: Folder of the checkpoint, which an interrupted training continues from.
        tensorboard: Write TensorBoard event files.

    Raises:
        PlanError: A setting does not fit the pictures.
        CollapseError: All embeddings became nearly equal, or the loss is not finite.
        TrainingError: A file cannot be read or written.
    """
    from edge_train.data.augment import make_augment
    from edge_train.training.loop import EVENTS, HISTORY, train

    made = parts()
    result = train(
        made.backbone,
        made.objective,
        made.batches,
        made.contract,
        steps=plan.steps,
        minutes=plan.minutes,
        learning_rate=plan.learning_rate,
        weight_decay=plan.weight_decay,
        augment=make_augment(plan.augmentation, strength=plan.augmentation_strength),
        seed=plan.seed,
        folder=work,
        digest=digest,
        curve=made.curve,
        tensorboard=tensorboard,
    )
    made.backbone.save(folder / f"{name}.keras")
    values = {
        "steps": result.steps,
        "seconds": result.seconds,
        "device": result.device,
        "timed": result.timed,
        "parameters": made.backbone.count_params(),
        "losses": [row.loss for row in result.history],
        "curve": [(row.step, dict(row.curve)) for row in result.history if row.curve],
    }
    shutil.copyfile(work / HISTORY, folder / f"{name}.history.csv")
    if tensorboard:
        shutil.copytree(work / EVENTS, folder / EVENTS)
    (folder / f"{name}.contract.json").write_text(
        json.dumps(made.contract.to_json(), indent=2) + "\n", encoding="utf-8"
    )
    (folder / f"{name}.history.json").write_text(json.dumps(values), encoding="utf-8")


def starting_network(plan: Plan, contract: InputContract) -> keras.Model:
    """Build the untrained network of a plan."""
    from edge_train.backbones import build_backbone

    return build_backbone(
        plan.backbone,
        input_shape=contract.shape,
        dimension=plan.dimension,
        width=plan.width,
        seed=plan.seed,
    )


def objective(plan: Plan, split: Split, steps: int) -> Objective:
    """Build the loss of a plan for a number of training steps."""
    from edge_train.losses import build_loss

    return build_loss(
        plan.loss,
        classes=len(split.train.names),
        dimension=plan.dimension,
        steps=steps,
        settings=plan.loss_settings,
        seed=plan.seed,
    )
