"""Train on 100,000 JPEG files, and print the peak memory as JSON; run by test_memory.py.

Usage: python -m tests.unit.edge_train.training.streamed_training FOLDER STEPS

The files are 5 hard links to each of 20,000 pictures of 128x128 px, in 2,000 folders, so that the disk needs 100 MB.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from converters.data.samples import open_samples
from edge_sdk.model.card import InputContract
from edge_train.backbones import build_backbone
from edge_train.data.augment import make_augment
from edge_train.data.batches import SubjectBatches
from edge_train.data.subjects import Subjects
from edge_train.losses import build_loss
from edge_train.training.loop import train

SUBJECTS, PICTURES, LINKS, SIDE_PX = 2000, 10, 5, 96


def draw(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for subject in range(SUBJECTS):
        place = folder / f"{subject:04}"
        place.mkdir(parents=True)
        squares = Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).resize((160, 160))
        for picture in range(PICTURES):
            left, top = rng.integers(0, 32, 2)
            first = place / f"{picture}.0.jpg"
            squares.crop((left, top, left + 128, top + 128)).save(first)
            for link in range(1, LINKS):
                os.link(first, place / f"{picture}.{link}.jpg")


if __name__ == "__main__":
    folder, steps = Path(sys.argv[1]), int(sys.argv[2])
    if not folder.exists():
        draw(folder)
    began, used = time.monotonic(), time.process_time()
    subjects = Subjects.of(open_samples(folder))
    contract = InputContract(SIDE_PX, SIDE_PX, "rgb", (127.5,) * 3, (128.0,) * 3)
    listed_s = time.process_time() - used
    result = train(
        build_backbone("quantized", input_shape=contract.shape, dimension=96),
        lambda count: build_loss("arcface", classes=SUBJECTS, dimension=96, steps=count),
        SubjectBatches(subjects, contract, per_batch=32, images=4, seed=0),
        contract,
        steps=steps,
        augment=make_augment("products"),
    )
    # `getrusage` also counts the memory that the parent had when it started the process.
    status = Path("/proc/self/status").read_text()
    print(
        json.dumps(
            {
                "images": len(subjects.flat),
                "steps": result.steps,
                "peak_mb": round(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6),
                "cpu_s": round(time.process_time() - used, 1),
                "listed_cpu_s": round(listed_s, 1),
                "wall_s": round(time.monotonic() - began, 1),
            }
        )
    )
