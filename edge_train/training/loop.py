"""The training loop: resumable, deterministic, with checkpoints, logs and curves."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from converters.progress import Progress, stage
from edge_sdk.errors import EdgeSdkError
from edge_sdk.model.card import InputContract
from edge_train.data.batches import Batches, prefetched
from edge_train.errors import CollapseError, PlanError, TrainingError
from edge_train.training.checkpoint import (
    Length,
    read_checkpoint,
    read_length,
    write_checkpoint,
    write_length,
)
from edge_train.training.collapse import CollapseGuard
from edge_train.training.events import EventLog
from edge_train.training.history import HistoryFile, HistoryRow
from edge_train.training.schedule import Schedule
from edge_train.training.timing import steps_within
from edge_train.training.trainer import Augment, Objective, Trainer

#: Measures the backbone on images that training does not use, such as ``curves.CalibrationCurve``.
Curve = Callable[[keras.Model], Mapping[str, float]]

#: Time between two checkpoints.
CHECKPOINT_S = 20.0
#: Largest number of values of the curve in a training, and least number of steps between two of them.
CURVE_VALUES, CURVE_STEPS = 20, 25
HISTORY, EVENTS = "history.csv", "tensorboard"
# Number of steps for which the loss of throw-away steps is built.
_NOMINAL_STEPS = 1000


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of a training; the backbone was trained in place.

    Attributes:
        objective: The trained loss.
        history: Figures of each step, of all runs.
        steps: Number of steps of the training.
        seconds: Time of the training in seconds, of all runs; work that a killed run lost does not count.
        resumed_from: Step from which this run continued; 0 for a new training.
        device: Device of the training: ``CPU``, or the name of a GPU.
        timed: Sentence about the measured times that gave the number of steps; empty if the number was given.
    """

    objective: Objective
    history: tuple[HistoryRow, ...]
    steps: int
    seconds: float
    resumed_from: int
    device: str
    timed: str


def train(
    backbone: keras.Model,
    objective: Callable[[int], Objective],
    batches: Batches,
    contract: InputContract,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    learning_rate: float = 5e-3,
    weight_decay: float = 1e-4,
    augment: Augment | None = None,
    seed: int = 0,
    folder: Path | None = None,
    digest: str = "",
    curve: Curve | None = None,
    tensorboard: bool = False,
) -> TrainingResult:
    """Train a backbone; with a work folder, continue a training that was interrupted or killed.

    The result depends only on the arguments and the machine: a training that was killed and continued gives bit for bit the
    same weights. The function enables TensorFlow's deterministic operations and sets the global seeds of Python, numpy and
    TensorFlow. It uses a GPU if TensorFlow has one.

    Files in the work folder: ``checkpoint.npz`` (every 20 s and at the end), ``length.json`` (number of steps), ``history.csv``
    and, if asked for, ``tensorboard/``. A finished training returns its result at once.

    Args:
        backbone: Model from normalized pixels to embeddings; trained in place.
        objective: Builds the loss for a number of steps, such as ``lambda steps: build_loss("arcface", steps=steps, ...)``.
        batches: Training batches.
        contract: Size and normalization of the pixels.
        steps: Number of steps, at least 1; None if ``minutes`` is given.
        minutes: Longest time of the training, above 0; None if ``steps`` is given. Throw-away steps are timed, and the number
            of steps that fit is kept in the work folder, so that a continued training has the same number. The time includes
            the measurement itself, compilation, checkpoints and the curve.
        learning_rate: Peak learning rate, above 0.
        weight_decay: Decoupled weight decay, 0 or more.
        augment: Augmentation in the compiled step; None for none.
        seed: Seed of the augmentation.
        folder: Work folder, created if necessary; None writes no file, and the training cannot be continued.
        digest: Digest of everything that determines the result: plan, pictures, starting weights. A folder with another digest
            is refused.
        curve: Called with the backbone up to 20 times, the last time at the end; its values appear in the history.
        tensorboard: Write TensorBoard event files; needs a folder.

    Returns:
        The history and the number of steps.

    Raises:
        PlanError: A setting is out of range, or settings contradict each other.
        TrainingError: The folder contains another training, a file cannot be written, or an image cannot be read.
        CollapseError: The loss is not finite, or all embeddings are nearly equal.
        KeyboardInterrupt: Ctrl-C was pressed; a checkpoint was written, and the message says how to continue.
    """
    _check(steps, minutes, folder, tensorboard)
    began = time.monotonic()
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)

    def trainer_for(count: int) -> Trainer:
        schedule = Schedule(steps=count, learning_rate=learning_rate, weight_decay=weight_decay)
        return Trainer(backbone, objective(count), contract, schedule, augment=augment, seed=seed)

    length = None
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"{folder}: cannot be created: {error.strerror or error}", hint="choose another folder"
            ) from error
        length = read_length(folder, digest)
    if length is None and minutes is not None:
        with stage("measure the time of a step") as progress:
            count, every, timed = steps_within(
                60 * minutes,
                trainer_for(_NOMINAL_STEPS),
                batches,
                curve=curve,
                curve_values=CURVE_VALUES,
                curve_steps=CURVE_STEPS,
                progress=progress,
            )
        length = Length(digest=digest, steps=count, curve_every=every, timed=timed)
    elif length is None:
        count = steps or 0
        every = max(CURVE_STEPS, -(-count // CURVE_VALUES))
        length = Length(digest=digest, steps=count, curve_every=every)
    elif steps is not None and steps != length.steps:
        raise TrainingError(
            f"{folder}: expected a training of {steps} steps, found a training of {length.steps} steps",
            hint="give another folder to start a new training",
        )
    if folder is not None:
        write_length(folder, length)
    loop = _Loop(trainer_for(length.steps), batches, length, curve, folder, tensorboard=tensorboard)
    return loop.run(began)


def _check(steps: int | None, minutes: float | None, folder: Path | None, tensorboard: bool) -> None:
    if (steps is None) == (minutes is None):
        raise PlanError(
            "expected either steps or minutes, found " + ("neither" if steps is None else "both"),
            hint="give the number of steps, or the longest time of the training",
        )
    if steps is not None and steps < 1:
        raise PlanError(f"steps: expected at least 1, found {steps}")
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise PlanError(f"minutes: expected a number above 0, found {minutes}")
    if tensorboard and folder is None:
        raise PlanError("tensorboard: expected a work folder for the event files, found none")


class _Loop:
    """Steps, logs and checkpoints of one training."""

    def __init__(
        self,
        trainer: Trainer,
        batches: Batches,
        length: Length,
        curve: Curve | None,
        folder: Path | None,
        *,
        tensorboard: bool,
    ) -> None:
        self._trainer, self._batches, self._length = trainer, batches, length
        self._curve, self._folder = curve, folder
        self._seconds = 0.0
        if folder is not None:
            self._seconds = read_checkpoint(folder, trainer, length.digest)
        self._history = HistoryFile(None if folder is None else folder / HISTORY)
        self._history.resume(trainer.step)
        self._events = None
        if tensorboard and folder is not None:
            self._events = EventLog(folder / EVENTS, self._history.rows)
        self._guard = CollapseGuard(length.steps)
        for row in self._history.rows:
            self._guard.check(row.step, row)
        self._began = time.monotonic()

    def run(self, began: float) -> TrainingResult:
        """Make the remaining steps; `began` is the monotonic time at the start of the run."""
        start, device = self._trainer.step, _device()
        self._began = began
        if start < self._length.steps:
            verb = f"continue at step {start} of" if start else "train"
            with (
                stage(f"{verb} {self._length.steps} steps on {device}") as progress,
                _interrupts() as interrupted,
                closing(prefetched(self._batches, start, self._length.steps)) as source,
            ):
                try:
                    self._steps(source, progress, interrupted)
                except CollapseError:
                    raise
                except EdgeSdkError:
                    # Such as an unreadable image. The last complete step is kept.
                    self._save()
                    raise
            self._save()
        if self._events is not None:
            self._events.close()
        return TrainingResult(
            objective=self._trainer.objective,
            history=tuple(self._history.rows),
            steps=self._length.steps,
            seconds=self._elapsed(),
            resumed_from=start,
            device=device,
            timed=self._length.timed,
        )

    def _steps(
        self,
        source: Iterator[Any],
        progress: Progress,
        interrupted: threading.Event,
    ) -> None:
        trainer, steps = self._trainer, self._length.steps
        saved = time.monotonic()
        for pixels, targets in source:
            trainer.advance(pixels, targets)
            figures = trainer.figures
            self._guard.check(trainer.step, figures)
            values: Mapping[str, float] = {}
            if self._curve is not None and (
                trainer.step % self._length.curve_every == 0 or trainer.step == steps
            ):
                values = self._curve(trainer.backbone)
            row = HistoryRow(step=trainer.step, curve=values, **asdict(figures))
            self._history.add(row)
            if self._events is not None:
                self._events.add(row)
            progress(trainer.step, steps)
            if interrupted.is_set():
                self._save()
                raise KeyboardInterrupt(self._how_to_continue())
            if time.monotonic() - saved >= CHECKPOINT_S:
                self._save()
                saved = time.monotonic()

    def _save(self) -> None:
        # The rows are on the disk before the checkpoint that needs them.
        self._history.flush()
        if self._events is not None:
            self._events.flush()
        if self._folder is not None:
            write_checkpoint(self._folder, self._trainer, self._length.digest, self._elapsed())

    def _elapsed(self) -> float:
        return self._seconds + time.monotonic() - self._began

    def _how_to_continue(self) -> str:
        state = f"interrupted after step {self._trainer.step} of {self._length.steps}"
        if self._folder is None:
            return state
        return f"{state}; the same command continues from there"


@contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Provide an event that Ctrl-C sets, so that a step is always completed; a second Ctrl-C interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        event.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)


def _device() -> str:
    """Return the device of the training: the name of the first GPU, or ``CPU``."""
    for device in tf.config.list_physical_devices("GPU"):
        name = tf.config.experimental.get_device_details(device).get("device_name", "GPU")
        return str(name)
    return "CPU"
