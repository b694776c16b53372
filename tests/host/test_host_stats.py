"""CPU and memory use of the machine, from files of the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.host.host_stats import NO_TIME, HostStats
from nvltop.host.machine import booted_s
from nvltop.model import Missing, known

MEMINFO = "MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: {} kB\nHugePages_Total: 0\n"
TICKS = st.lists(st.integers(0, 10**9), min_size=8, max_size=8)


def write(proc: Path, cpu: str = "cpu  0 0 0 0 0 0 0 0 0 0", meminfo: str = MEMINFO.format(300)) -> None:
    (proc / "stat").write_text(f"{cpu}\ncpu0 1 2 3\nbtime 1790000000\n")
    (proc / "meminfo").write_text(meminfo)


def line(times: list[int], guests: str = "7 8") -> str:
    return f"cpu  {' '.join(map(str, times))} {guests}"


def test_the_cpu_use_is_the_share_of_the_time_since_the_last_reading_that_was_not_idle(tmp_path):
    stats = HostStats(tmp_path)
    write(tmp_path, line([100, 0, 50, 1000, 10, 0, 0, 0]))
    assert stats.read().cpu_percent == NO_TIME
    # Of 200 ticks 100 + 40 were idle. The time of guests is part of that of user processes.
    write(tmp_path, line([130, 5, 65, 1100, 50, 4, 5, 1], "20 20"))
    assert stats.read().cpu_percent == 30.0
    assert stats.read().cpu_percent == NO_TIME


@given(TICKS, TICKS)
def test_the_cpu_use_is_a_percentage_whatever_the_counters_do(tmp_path_factory, first, second):
    proc = tmp_path_factory.mktemp("proc")
    stats = HostStats(proc)
    write(proc, line(first))
    stats.read()
    write(proc, line(second))
    percent = stats.read().cpu_percent
    assert known(percent) is any(b > a for a, b in zip(first, second, strict=True))
    assert not known(percent) or 0 <= percent <= 100


@pytest.mark.parametrize("cpu", ["", "cpu", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"])
def test_other_content_of_the_first_line_gives_no_cpu_use(tmp_path, cpu):
    write(tmp_path, cpu)
    host = HostStats(tmp_path).read()
    assert isinstance(host.cpu_percent, Missing)
    assert host.memory_total_bytes == 1000 << 10


@pytest.mark.parametrize(("available", "used"), [(300, 700), (1000, 0), (2000, 800)])
def test_memory_that_can_be_freed_is_not_used(tmp_path, available, used):
    """In some containers more memory is available than exists; the free memory counts then."""
    write(tmp_path, meminfo=MEMINFO.format(available))
    assert HostStats(tmp_path).read().memory_used_bytes == used << 10


@pytest.mark.parametrize("text", ["", MEMINFO.format(0), MEMINFO.format(-1), "MemTotal: 1 kB\n", "\n"])
def test_other_memory_figures_are_missing(tmp_path, text):
    write(tmp_path, meminfo=text)
    host = HostStats(tmp_path).read()
    assert isinstance(host.memory_used_bytes, Missing)
    assert isinstance(host.memory_total_bytes, Missing)


def test_the_boot_time_of_this_machine():
    boot = booted_s()
    assert known(boot)
    assert boot > 1e9
