"""Sampling reuses memory instead of returning it to the kernel after each frame."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Run in a separate process, because the allocator's behaviour depends on earlier allocations.
FRAMES = """
import resource
from types import SimpleNamespace

import numpy as np

from edge_sdk.model.card import InputContract
from edge_sdk.model.landmark_template import ARCFACE_112
from edge_sdk.vision.faces import Face
from edge_sdk.vision.resize import resize_fast
from edge_sdk.recognizer.sampling import Sampler

# Free no large block before sampling: that alone would make glibc keep the heap.
frame = np.full((480, 640, 3), 90, np.uint8)
frame[::3, ::5] = 200
points = np.array(ARCFACE_112) * 2 + (200, 100)


class Detector:
    def detect(self, frame):
        resize_fast(frame, 240, 320)
        return (Face((200.0, 100.0, 224.0, 224.0), points, 0.9),)


contract = InputContract(112, 112, "rgb", (0.0,) * 3, (1.0,) * 3, ARCFACE_112)
embedder = SimpleNamespace(card=SimpleNamespace(input=contract), embed=lambda crop: crop)
sampler = Sampler(Detector(), embedder)
for number in range(60):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    sampler.take(frame)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 50)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these limits")
def test_a_frame_does_not_hand_its_memory_to_the_kernel_and_fetch_it_again() -> None:
    done = subprocess.run([sys.executable, "-c", FRAMES], capture_output=True, text=True, check=True)
    # 281 pages, more than a megabyte, if memory is returned to the kernel after each frame.
    assert float(done.stdout) < 5
