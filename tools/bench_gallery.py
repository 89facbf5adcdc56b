"""Measure the gallery: opening, one durable enrolment, a counted attempt, and matching at every size.

    python -m tools.bench_gallery [--subjects 10000] [--dimension 512] [--folder .]

Prints two tables. Put the folder on the storage medium to be measured, because a durable change waits for it. Matching
is compared with numpy's float32 product (`references @ probe`, argmax) and with faiss IndexFlatIP, one thread each,
alternately in one run. The shortest time of many rounds is used, because other load only makes a round slower.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_sdk.gallery import AttemptPolicy, DecisionPolicy, FileAnchor, Gallery, KeyFile
from edge_sdk.gallery.format.header import TemplateType
from edge_sdk.gallery.match.kernels import Probe, kernel_for
from edge_sdk.gallery.match.search import Search
from edge_sdk.gallery.match.templates import quantize
from edge_sdk.model.operating_point import OperatingPoint

SIZES = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
TIME_BUDGET_S = 1.0  # per size and method


def measure(work: Callable[[int], object], rounds: int) -> str:
    """Return the shortest, median and longest time of `work(round)` and its median processor time, milliseconds."""
    times_ms, processor_ms = [], []
    for i in range(rounds):
        start_s, processor_s = time.perf_counter(), time.process_time()
        work(i)
        times_ms.append(1e3 * (time.perf_counter() - start_s))
        processor_ms.append(1e3 * (time.process_time() - processor_s))
    middle, processor = statistics.median(times_ms), statistics.median(processor_ms)
    return f"{min(times_ms):>10.2f}{middle:>10.2f}{max(times_ms):>10.2f}{processor:>11.2f}"


def shortest_us(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the shortest time of each function, microseconds; the functions run alternately."""
    best = dict.fromkeys(works, math.inf)
    for work in works.values():
        work()
    start_s = time.perf_counter()
    rounds = 0
    while rounds < 5 or time.perf_counter() - start_s < TIME_BUDGET_S * len(works):
        for name, work in works.items():
            began_s = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began_s)
        rounds += 1
    return {name: 1e6 * seconds for name, seconds in best.items()}


def bench_gallery(options: argparse.Namespace) -> None:
    """Time opening, enrolling, identifying and counting attempts, with files."""
    random = np.random.default_rng(1)
    count = options.subjects
    embeddings = random.normal(size=(count + 2 * options.rounds, options.dimension)).astype(np.float32)
    fmr = 1e-7
    point = OperatingPoint(0.5, fmr, fnmr=0.0, mated_trials=1, non_mated_trials=math.ceil(3 / fmr))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "bench.gallery"
        key = KeyFile.create(Path(folder) / "bench.key")
        anchor = FileAnchor(Path(folder) / "bench.anchor")
        gallery = Gallery.create(
            path, key=key, model_id=bytes(32), dimension=options.dimension, suite=options.suite, anchor=anchor
        )
        with gallery.transaction() as t:
            for i in range(count):
                t.enrol(f"subject {i}", embeddings[i])
        probe, stranger = embeddings[count // 2], random.normal(size=options.dimension).astype(np.float32)
        if gallery.identify(probe, threshold=0.9).subject != f"subject {count // 2}":
            raise SystemExit("the gallery did not identify an enrolled subject")
        lines = {
            "open": measure(lambda _: Gallery.open(path, key=key, anchor=anchor), options.rounds),
            "identify, enrolled": measure(lambda _: gallery.identify(probe, threshold=0.9), 200),
            "identify, stranger": measure(lambda _: gallery.identify(stranger, threshold=0.9), 200),
            "enrol, durable": measure(
                lambda i: gallery.enrol(f"new {i}", embeddings[count + i]), options.rounds
            ),
        }
        with gallery.transaction() as t:
            t.set_policy(DecisionPolicy((point,), fpir=0.01))
        lines["enrol, durable, checked"] = measure(
            lambda i: gallery.enrol(f"checked {i}", embeddings[count + options.rounds + i]), options.rounds
        )
        with gallery.transaction() as t:
            t.limit_attempts(AttemptPolicy(free=1000, most=1000))
        lines["attempt, counted, rejected"] = measure(lambda _: gallery.identify(stranger), 100)
        lines["attempt, counted, accepted"] = measure(lambda _: gallery.identify(probe), 100)
        size_mb = path.stat().st_size / 1e6
    print(f"{count} subjects of one template, {options.dimension} int8 numbers, {size_mb:.1f} MB\n")
    print(f"{'':<26}{'least ms':>10}{'median':>10}{'worst':>10}{'processor':>11}")
    for name, figures in lines.items():
        print(f"{name:<26}{figures}")


def bench_matching(dimension: int) -> None:
    """Time the search of one prepared probe among N references, up to the best subject and its exact score."""
    import faiss

    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(2)
    print(
        f"\nmatching, microseconds, {dimension} numbers; `fast` is the int8 kernel, `excluded` the same with a "
        "tenth of the subjects invalid, `shared` the same with 5 templates per subject\n"
    )
    names = ("fast", "excluded", "shared", "stranger", "numpy only", "float32", "faiss")
    print(f"{'N':>7}" + "".join(f"{name:>11}" for name in names) + f"{'fast/float32':>14}{'fast/faiss':>12}")
    for count in SIZES:
        wide = random.normal(size=(count, dimension))
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
        references = wide.astype(np.float32)
        matrix, scales = quantize(wide, TemplateType.INT8)
        vector = wide[count // 2] + 0.03 * random.normal(size=dimension)
        vector /= np.linalg.norm(vector)
        stranger = random.normal(size=dimension)
        probe, other = Probe.of(vector), Probe.of(stranger / np.linalg.norm(stranger))
        probe32 = vector.astype(np.float32)
        owners = np.arange(count, dtype=np.uint32)
        index = faiss.IndexFlatIP(dimension)
        index.add(references)
        fast = Search(matrix, scales, owners)
        shared = Search(matrix, scales, owners // 5)
        slow = Search(matrix, scales, owners, kernel=kernel_for(matrix, scales, fast=False))
        tenth = random.choice(count, count // 10, replace=False).astype(np.intp)
        tenth = tenth[tenth != count // 2]
        expected = fast.leaders(probe, floor=0.4)
        if expected != slow.leaders(probe, floor=0.4) or expected[0].subject != count // 2:
            raise SystemExit(
                "expected the same best subject from the int8 and the numpy kernel, found others"
            )
        # Bind as defaults, because the next size replaces these names.
        works: dict[str, Callable[[], object]] = {
            "fast": lambda s=fast, p=probe: s.leaders(p, floor=0.4),
            "excluded": lambda s=fast, p=probe, e=tenth: s.leaders(p, floor=0.4, excluded_rows=e),
            "shared": lambda s=shared, p=probe: s.leaders(p, floor=0.4),
            "stranger": lambda s=fast, p=other: s.leaders(p, floor=0.4),
            "numpy only": lambda s=slow, p=probe: s.leaders(p, floor=0.4),
            "float32": lambda r=references, p=probe32: (r @ p).argmax(),
            "faiss": lambda i=index, p=probe32[np.newaxis]: i.search(p, 1),
        }
        times_us = shortest_us(works)
        print(
            f"{count:>7}"
            + "".join(f"{times_us[name]:>11.1f}" for name in names)
            + f"{times_us['fast'] / times_us['float32']:>14.2f}{times_us['fast'] / times_us['faiss']:>12.2f}"
        )
    prepare_us = shortest_us({"prepare": lambda: Probe.of(vector)})["prepare"]
    print(f"\nto prepare a probe: {prepare_us:.1f} us")


def main() -> None:
    """Build galleries of random unit vectors and time them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subjects", type=int, default=10_000, help="enrolled subjects (default: 10000)")
    parser.add_argument("--dimension", type=int, default=512, help="values per template (default: 512)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds per file operation (default: 15)")
    parser.add_argument("--suite", default="aes-256-gcm", help="cipher suite (default: aes-256-gcm)")
    parser.add_argument("--folder", type=Path, default=Path(), help="folder for the files (default: current)")
    options = parser.parse_args()
    bench_gallery(options)
    bench_matching(options.dimension)


if __name__ == "__main__":
    main()
