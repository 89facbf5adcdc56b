"""Train with and without kills, and print the digests of the weights as JSON; run by test_loop.py.

Usage: killed_training.py PICTURES WORK. Each training runs in a child process of its own. TensorFlow is imported before the
fork and starts its threads after it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from converters.data.samples import open_samples
from edge_train.data.batches import SubjectBatches
from edge_train.data.subjects import Subjects
from edge_train.losses import build_loss
from edge_train.training import loop
from tests.drawn_subjects import CONTRACT, small_backbone

STEPS = 12
#: A run is killed at the n-th flush of a file to the disk, before the flush, or at the n-th rename, before the rename.
KILLS = [
    ("fsync", 1),
    ("replace", 1),
    ("fsync", 2),
    ("fsync", 3),
    ("fsync", 4),
    ("replace", 3),
    ("fsync", 8),
    ("replace", 7),
    ("fsync", 11),
]


def kill_at(call: str, number: int) -> None:
    """Let this process kill itself at the n-th call of a function that makes files durable."""
    owner: Any = os if call == "fsync" else Path
    original, count = getattr(owner, call), 0

    def counted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(owner, call, counted)


def augment(pixels: Any, seed: Any) -> Any:
    return pixels + tf.random.stateless_normal(tf.shape(pixels), seed, stddev=8.0)


def trained(pictures: Path, folder: Path | None, report: Path) -> None:
    subjects = Subjects.of(open_samples(pictures))
    loop.CHECKPOINT_S = 0.0  # after each step
    backbone = small_backbone()
    result = loop.train(
        backbone,
        lambda steps: build_loss("curricularface", classes=6, dimension=16, steps=steps),
        SubjectBatches(subjects, CONTRACT, per_batch=4, images=2, seed=3),
        CONTRACT,
        steps=STEPS,
        augment=augment,
        seed=5,
        folder=folder,
        curve=lambda model: {"weight": float(np.asarray(model.weights[0]).sum())},
    )
    objective: Any = result.objective
    state = [np.asarray(variable).tobytes() for variable in (*backbone.variables, *objective.variables)]
    history = [(row.step, row.loss, row.mated, row.curve) for row in result.history]
    report.write_text(
        json.dumps(
            {
                "digest": hashlib.sha256(b"".join(state)).hexdigest(),
                "history": history,
                "resumed_from": result.resumed_from,
            }
        )
    )


def in_child(pictures: Path, folder: Path | None, report: Path, kill: tuple[str, int] | None) -> int:
    child = os.fork()
    if child == 0:
        if kill is not None:
            kill_at(*kill)
        trained(pictures, folder, report)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    pictures, work = Path(sys.argv[1]), Path(sys.argv[2])
    ends = (("killed", work / "killed"), ("whole", work / "whole"), ("memory", None))
    codes = [
        *(in_child(pictures, work / "killed", work / "none.json", kill) for kill in KILLS),
        *(in_child(pictures, folder, work / f"{name}.json", None) for name, folder in ends),
    ]
    again = in_child(pictures, work / "killed", work / "again.json", None)
    print(json.dumps({"codes": [*codes, again]}))
