"""Properties of the machine, from the kernel's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nvltop.host.machine import driver_loaded_s, in_wsl
from nvltop.model import Missing

BOOT = 1_790_000_000.0


def thread(proc: Path, pid: int, name: str, ticks: int) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "comm").write_text(f"{name}\n")
    fields = " ".join(["S", *["0"] * 18, str(ticks), "0", "0"])
    (folder / "stat").write_text(f"{pid} ({name}) {fields}\n")


def kthreads(proc: Path, *pids: int) -> None:
    folder = proc / "2/task/2"
    folder.mkdir(parents=True)
    (folder / "children").write_text(" ".join(map(str, pids)))


def test_the_load_time_of_the_driver_is_the_start_of_its_oldest_thread(tmp_path):
    ticks = os.sysconf("SC_CLK_TCK")
    kthreads(tmp_path, 3, 700, 701)
    thread(tmp_path, 3, "rcu_gp", 1)
    thread(tmp_path, 700, "UVM global queue", 90 * ticks)
    thread(tmp_path, 701, "nvidia-modeset/kthread_q", 60 * ticks)
    assert driver_loaded_s(tmp_path, BOOT) == BOOT + 60


def test_a_thread_with_brackets_and_spaces_in_its_name(tmp_path):
    kthreads(tmp_path, 5)
    thread(tmp_path, 5, "UVM ) (S 1 2", 300)
    assert driver_loaded_s(tmp_path, BOOT) == BOOT + 300 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("names", [(), ("rcu_gp",)])
def test_without_its_threads_it_is_unknown(tmp_path, names):
    kthreads(tmp_path, *range(10, 10 + len(names)))
    for i, name in enumerate(names):
        thread(tmp_path, 10 + i, name, 5)
    assert isinstance(driver_loaded_s(tmp_path, BOOT), Missing)
    assert isinstance(driver_loaded_s(tmp_path / "none", BOOT), Missing)
    assert driver_loaded_s(tmp_path, Missing("why")) == Missing("why")


@pytest.mark.parametrize(
    ("file", "text", "wsl"),
    [
        ("sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2", True),
        ("version", "Linux version 4.19.128-Microsoft", True),
        ("sys/kernel/osrelease", "6.8.0-1019-azure", False),
    ],
)
def test_windows_subsystem_for_linux(tmp_path, file, text, wsl):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    assert in_wsl(tmp_path) is wsl
