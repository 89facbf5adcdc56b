"""The default number of threads is that of the performance cores that the process may use, at most four."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from edge_sdk.errors import InputError
from edge_sdk.runtime.threads import count_threads, default_threads, thread_count, two_fit

ROCKCHIP = [530] * 4 + [1024] * 4
INTEL_KHZ = [5_200_000] * 2 + [5_300_000] * 2 + [3_900_000] * 8


def machine(
    root: Path,
    cores: Sequence[int] = (),
    *,
    name: str = "cpu_capacity",
    group: str = "",
    limits: Mapping[str, str] | None = None,
) -> Path:
    """Write the files of a machine: a capacity for each core, the process's control group, and limits of groups."""
    for core, capacity in enumerate(cores):
        file = root / f"sys/devices/system/cpu/cpu{core}" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{capacity}\n")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"1:cpu:/elsewhere\n0::{group}\n")
    for folder, limit in (limits or {}).items():
        place = root / "sys/fs/cgroup" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(f"{limit}\n")
    return root


@pytest.mark.parametrize(
    ("cores", "name", "expected"),
    [
        ([1024] * 4, "cpu_capacity", 4),
        ([1024] * 16, "cpu_capacity", 4),
        ([1024] * 2, "cpu_capacity", 2),
        ([430, 430, 1024, 1024, 430, 430], "cpu_capacity", 2),
        (ROCKCHIP, "cpu_capacity", 4),
        ([279] * 4 + [805] * 3 + [1024], "cpu_capacity", 1),
        (INTEL_KHZ, "cpufreq/cpuinfo_max_freq", 4),
        ([2_256_000, 2_304_000, 1_608_000, 1_608_000], "cpufreq/cpuinfo_max_freq", 2),
        ([0, 0], "cpu_capacity", 2),
    ],
)
def test_only_performance_cores_count(tmp_path: Path, cores: list[int], name: str, expected: int) -> None:
    assert count_threads(range(len(cores)), machine(tmp_path, cores, name=name)) == expected


def test_a_process_that_is_bound_to_slow_cores_uses_them(tmp_path: Path) -> None:
    assert count_threads([0, 1, 2], machine(tmp_path, ROCKCHIP)) == 3


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("/", {".": "max 100000"}, 4),
        ("/", {".": "200000 100000"}, 2),
        ("/", {".": "150000 100000"}, 1),
        ("/", {".": "50000 100000"}, 1),
        ("/system.slice/door.service", {"system.slice/door.service": "300000 100000"}, 3),
        ("/system.slice/door.service", {"system.slice": "200000 100000"}, 2),
        ("/../elsewhere", {".": "200000 100000"}, 2),
        ("/", {".": "nonsense"}, 4),
        ("/", {".": "100000 0"}, 4),
    ],
)
def test_a_limit_of_the_control_group_counts(
    tmp_path: Path, group: str, limits: dict[str, str], expected: int
) -> None:
    assert count_threads(range(4), machine(tmp_path, group=group, limits=limits)) == expected


def test_without_any_file_every_core_counts(tmp_path: Path) -> None:
    assert [count_threads(range(count), tmp_path) for count in (0, 1, 3, 64)] == [1, 1, 3, 4]


def test_capacities_of_some_cores_are_no_evidence(tmp_path: Path) -> None:
    """A core without a file may be of any kind."""
    assert count_threads(range(4), machine(tmp_path, [1024, 430])) == 4


def test_this_machine_has_a_default() -> None:
    assert 1 <= default_threads() <= min(4, os.cpu_count() or 1)
    assert thread_count(None) == default_threads()
    assert thread_count(64) == 64


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_what_is_no_number_of_threads_is_refused(threads: int) -> None:
    with pytest.raises(InputError, match="expected 1 or more interpreter threads"):
        thread_count(threads)


def test_two_networks_fit_only_if_every_thread_has_a_core() -> None:
    """At the default every core has a thread of one network already."""
    cores = default_threads()
    assert not two_fit(None) and not two_fit(cores)
    assert two_fit(1) == (cores >= 2)
    assert two_fit(2) == (cores >= 4)
