"""Every read of the host with every failure: the value is missing with its reason, the others remain."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from nvltop.host import machine, pci, procfs
from nvltop.host.host_stats import NO_TIME, HostStats
from nvltop.host.nics import NicTable
from nvltop.host.processes import HIDEPID, ProcessTable
from nvltop.model import GpuUse, Host, Inventory, Item, Missing, Processes, known
from nvltop.sampler.nic_monitor import NicMonitor
from tests.sysfs import Tree

FAILURES = [
    FileNotFoundError(errno.ENOENT, "gone"),
    PermissionError(errno.EACCES, "no"),
    OSError(errno.EIO, "bad disk"),
    OSError(errno.EMFILE, "too many"),
    RuntimeError("line 'btime' not found in /proc/stat"),
    TypeError("no"),
    KeyError("MemTotal"),
    ValueError("what\nis this"),
    IndexError("list index out of range"),
    ZeroDivisionError(),
]
PIDS = {os.getpid(): (GpuUse("GPU-a", "compute"),)}


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*args: object, **kwargs: object) -> NoReturn:
        raise error

    return fail


def reasons(values: list[object]) -> list[str]:
    return [value.reason for value in values if isinstance(value, Missing)]


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("file", ["stat", "meminfo"])
def test_unreadable_files_of_the_machine(monkeypatch, file, error):
    real = procfs.read_system_file

    def read(name: str, *args: Any) -> bytes:
        return failing(error)() if name == file else real(name, *args)

    monkeypatch.setattr("nvltop.host.host_stats.read_system_file", read)
    monkeypatch.setattr("nvltop.host.machine.read_system_file", read)
    host, booted_s = HostStats().read(), machine.booted_s()
    memory: list[object] = [host.memory_used_bytes, host.memory_total_bytes]
    others: list[object] = [host.cpu_percent, booted_s]
    unread, others = (memory, others) if file == "meminfo" else (others, memory)
    assert len(reasons(unread)) == 2
    assert all(reason.startswith(f"/proc/{file}") and reason.isprintable() for reason in reasons(unread))
    assert set(reasons(others)) <= {NO_TIME.reason}


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("name", ["stat", "cmdline", "status", "cgroup", "user"])
def test_unreadable_files_of_a_process(monkeypatch, name, error):
    real = procfs.read_file

    def read_file(pid: int, file: str, proc: Path) -> bytes:
        return failing(error)() if file == name else real(pid, file, proc)

    monkeypatch.setattr(procfs, "read_file", read_file)
    monkeypatch.setattr("nvltop.host.processes.read_file", read_file)
    if name == "user":
        monkeypatch.setattr(pwd, "getpwuid", failing(error))
    found = ProcessTable().describe(PIDS)
    assert len(found.processes) + found.hidden == 1
    if found.hidden:
        assert found.hidden_reason
    elif name in ("cmdline", "status"):
        [process] = found.processes
        value = process.arguments if name == "cmdline" else process.user
        assert reasons([value])


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"1", b"1 (x", b") " * 30, b"1 (x) S " + b"-1 " * 40, os.urandom(1 << 16), b"9" * 100_000],
)
@pytest.mark.parametrize("name", ["stat", "cmdline", "status", "cgroup"])
def test_files_of_processes_with_any_content(tmp_path, name, content):
    pid = os.getpid()
    folder = tmp_path / str(pid)
    folder.mkdir()
    for file in ("stat", "cmdline", "status", "cgroup"):
        (folder / file).write_bytes(procfs.read_file(pid, file))
    (folder / name).write_bytes(content)
    found = ProcessTable(tmp_path).describe({**PIDS, 0: (), -1: (), 1 << 70: ()})
    assert len(found.processes) + found.hidden == 4
    for process in found.processes:
        assert all(known(v) for v in (process.started_s, process.memory_bytes, process.start_ticks))


@pytest.mark.parametrize("error", FAILURES, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("call", ["open", "listdir", "readlink", "read"])
def test_failing_system_calls(tmp_path, monkeypatch, call, error):
    """Direct calls of `os` may fail in any way without an exception."""
    tree = Tree(tmp_path)
    tree.rdma("mlx5_0", tree.pci("0000:1b:00.0", ["pci0000:1a"]))
    table = NicTable(tmp_path)
    assert known(table.find())
    monkeypatch.setattr(os, call, failing(error))
    sent: list[Item] = []
    watch = NicMonitor(table, lambda *items: sent.extend(items))
    watch.send(Inventory(0.0, 0.0))
    assert watch.task().run() is not None
    assert isinstance(sent[0], Inventory)
    found = ProcessTable().describe(PIDS)
    assert isinstance(found, Processes)
    assert isinstance(HostStats().read(), Host)
    machine.booted_s()
    if isinstance(error, OSError):
        machine.in_container()
        pci.display_vendors(tmp_path)
        pci.kernel_driver_gpus(["00000000:1B:00.0"], tmp_path, tmp_path)
        pci.kernel_module_version(tmp_path)


SITUATIONS = {
    "hidepid=1": "mount -t proc proc /proc -o hidepid=1",
    "hidepid=2": "mount -t proc proc /proc -o hidepid=2",
    "subset=pid": "mount -t proc proc /proc -o subset=pid",
    "no btime": "grep -v btime /proc/stat > $T/stat; mount --bind $T/stat /proc/stat",
    "empty stat": ": > $T/stat; mount --bind $T/stat /proc/stat",
    "empty meminfo": ": > $T/stat; mount --bind $T/stat /proc/meminfo",
    "no /proc": "mount -t tmpfs none /proc",
    "no /sys": "mount -t tmpfs none /sys",
    "no /tmp": "mount -t tmpfs -o ro none /tmp",
    "no /etc": "mount -t tmpfs none /etc",
}
LOOK_AND_RUN = """
import os, sys
from nvltop.__main__ import main
from nvltop.host.processes import ProcessTable
from nvltop.host.host_stats import HostStats
found = ProcessTable().describe({int(sys.argv.pop(1)): (), os.getpid(): ()})
print(len(found.processes), found.hidden, found.hidden_reason, flush=True)
HostStats().read()
sys.exit(main())
"""
NOT_ALL_RIGHTS = (
    "setpriv --regid=54321 --clear-groups --bounding-set=-sys_ptrace,-kill --inh-caps=-sys_ptrace,-kill"
)
"""Capabilities without which root sees of other users' processes what a user sees."""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root, to mount")
@pytest.mark.parametrize("name", SITUATIONS)
def test_the_program_in_a_real_situation(tmp_path, name):
    script = (
        f"{SITUATIONS[name]} || exit 99\n"
        f"exec env -u HOME {NOT_ALL_RIGHTS} {sys.executable} -c '{LOOK_AND_RUN}' $P --demo --check --for 1\n"
    )
    other = subprocess.Popen(["sleep", "60"], user=65534)
    try:
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", script],
            env={**os.environ, "T": str(tmp_path), "P": str(other.pid)}, cwd="/",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        other.kill()
        other.communicate()
    if done.returncode == 99 or "setpriv" in done.stderr or "unshare" in done.stderr:
        pytest.skip(f"cannot be made here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "144 of 144 links up" in done.stdout
    seen, hidden, *why = done.stdout.splitlines()[0].split(" ", 2)
    assert int(seen) + int(hidden) == 2
    assert bool(int(hidden)) is bool(why and why[0])
    if name.startswith("hidepid"):
        assert (int(hidden), why[0]) == (1, HIDEPID)
