"""Lines in many formats: alone, and between those of other drivers, they mean the same."""

from __future__ import annotations

import os

import pytest

from nvltop.explain.explain import explain
from nvltop.explain.source import Source

NETIR = "0x00000000 0x00000000 0x00000000 0x00000000 0x00000000"
LINES = {
    "<3>[ 1843.308145] NVRM: Xid (PCI:0000:65:00): 74, pid='N/A', NVLink: fatal error detected on link"
    " 2(0x400000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)": ("xid", 74, "00000000:65:00.0", 2),
    "Feb 14 05:03:42 gpu-1 kernel: NVRM: GPU 0000:c1:00.0: GPU has fallen off the bus.": (
        "bus-loss", None, "00000000:C1:00.0", None,
    ),
    "2026-02-14T05:03:42.123456+09:00 gpu-1 kernel: [  77.000001] NVRM: Xid (PCI:0009:01:00): 149, pid=99,"
    f" name=VLLM::Worker_TP3, NETIR_LINK_EVT Fatal XC0 i0 Link 14 (0x004405c6 {NETIR})": (
        "xid", 149, "00000009:01:00.0", 14,
    ),
    "[Fri Aug 30 11:43:09 2024] nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 22013, Fatal, Link 05 Minion Link"
    " DLREQ interrupt": ("sxid", 22013, "00000000:A9:00.0", 5),
    "kern  :warn  : [  +0.000012] NVRM: Xid (PCI:0000:1b:00): 31, pid=4711, name=python, Ch 00000010, intr"
    " 00000000. MMU Fault: ENGINE GRAPHICS": ("xid", 31, "00000000:1B:00.0", None),
    "3,2171,98230011234,-;NVRM: Xid (PCI:0000:1c:00): 48, pid=47, name=python, DBE (double bit error)": (
        "xid", 48, "00000000:1C:00.0", None,
    ),
    "node07 kernel: NVRM: Xid (PCI:0000:1d:00): 94, pid=4711, name=p (x), Contained: SM (0x1). RST: No": (
        "xid", 94, "00000000:1D:00.0", None,
    ),
    "2026-01-05 10:00:00,123 nodeA kernel - NVRM: Xid (PCI:0000:1e:00): 79, GPU has fallen off the bus.": (
        "xid", 79, "00000000:1E:00.0", None,
    ),
    "2026-01-05T10:00:00Z nodeA kernel: [12345.678901][ T1234] NVRM: Xid (PCI:0000:1f:00): 145, RLW_REMAP"
    " Nonfatal XC0 i0 Link 07 (0x040380a2 0x00000004 0x0 0x0 0x0 0x0)": ("xid", 145, "00000000:1F:00.0", 7),
    "[12345.678901] NVRM: Xid (PCI:0000:20:00 GPU-I:03): 43, pid=1, name=p, Ch 00000010": (
        "xid", 43, "00000000:20:00.0", None,
    ),
    "Sun May  3 03:00:00 2026 n kernel: NVRM: Xid (PCI:0018:01:00): 136, Link 03 training failed": (
        "xid", 136, "00000018:01:00.0", None,
    ),
    "2026-05-01T03:00:00.000001+0000 n kernel: NVRM: Xid (PCI:0019:01:00): 173, C2C link failure": (
        "xid", 173, "00000019:01:00.0", None,
    ),
    '{"MESSAGE":"NVRM: Xid (PCI:0000:21:00): 95, Uncontained","_TRANSPORT":"kernel",'
    '"__REALTIME_TIMESTAMP":"1790000000000000"}': ("xid", 95, "00000000:21:00.0", None),
    "[Jan 05 2026 10:00:00] [ERROR] [tid 99] detected NVSwitch fatal error 20034 on fid 0 on NVSwitch pci bus"
    " id 00000000:AA:00.0 physical id 2 port 57": ("fabric-manager", 20034, "00000000:AA:00.0", 57),
    "/var/log/syslog.1:Jan  5 10:00:00 n kernel: NVRM: Xid (PCI:0000:22:00): 62, 2027a1d3 00005b34": (
        "xid", 62, "00000000:22:00.0", None,
    ),
}  # fmt: skip
"""Kind, code, PCI bus id and link by line."""
NO_FAULT = (
    "12,2171,98230011234,-;NVRM: Xid (PCI:0000:01:00): 79, written by a program",
    "2026-01-05T10:00:00Z nodeA python[55]: NVRM: Xid (PCI:0000:01:00): 79, written by a program",
    "Feb 14 05:03:42 gpu-1 kernel: NVRM: GPU at PCI:0000:c1:00: GPU-a1b2c3d4-0000-1111-2222-333344445555",
    "[12345.678901] NVRM: krcWatchdogEnable_IMPL: Xid cannot be set",
    "May 01 03:00:00 n kernel: nvidia 0000:1b:00.0: AER: PCIe Bus Error: severity=Fatal",
    "[   12.300000] nvidia-nvlink: Nvlink Core is being initialized, major device number 511",
)
OTHERS = (
    "[{t:12.6f}] mlx5_core 0000:a1:00.0 ens3f0np0: Link up",
    "[{t:12.6f}] NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05",
    "Mar  1 00:00:00 node17 systemd[1]: Started session {t:.0f}.",
    "[{t:12.6f}] audit: type=1400 apparmor=STATUS",
)


def read(path) -> set[tuple[object, ...]]:
    source = Source(str(path))
    try:
        found = explain(source)
    finally:
        source.close()
    faults = [event.fault for incident in found.incidents for event in incident.events]
    return {(f.kind, f.code, f.pci_bus_id, f.link) for f in faults}


@pytest.mark.parametrize("other", [0, 20, 2000])
def test_lines_mean_the_same_alone_and_between_others(tmp_path, other):
    lines: list[str] = []
    for line in (*LINES, *NO_FAULT):
        lines += [OTHERS[i % len(OTHERS)].format(t=len(lines) + i) for i in range(other)]
        lines.append(line)
    path = tmp_path / "mixed.log"
    path.write_text("\n".join(lines) + "\n")
    assert read(path) == set(LINES.values())


def test_three_lines_without_stamps_of_their_own_are_one_loss(tmp_path):
    path = tmp_path / "dmesg"
    path.write_text(
        "[ 1843.308145] NVRM: The NVIDIA GPU 0000:b3:00.0\n"
        "               NVRM: (PCI ID: 10de:26b5) installed in this system has\n"
        "               NVRM: fallen off the bus and is not responding to commands.\n"
        "[ 1843.439662] NVRM: The NVIDIA probe routine failed for 1 device(s).\n"
    )
    assert ("bus-loss", None, "00000000:B3:00.0", None) in read(path)


@pytest.mark.parametrize("change", ["truncated", "removed"])
def test_a_log_that_changes_while_it_is_read_gives_what_was_read(tmp_path, change):
    path = tmp_path / "kern.log"
    line = "[ 1.000000] NVRM: Xid (PCI:0000:1e:00): 79, GPU has fallen off the bus.\n"
    path.write_text(line + "[ 2.000000] other\n" * 200_000)
    source = Source(str(path))
    chunks = source.chunks()
    assert next(chunks).startswith(line.encode())
    if change == "removed":
        path.unlink()
        assert sum(chunk.count(b"other") for chunk in chunks) > 100_000
    else:
        os.truncate(path, 0)
        assert sum(map(len, chunks)) < 100, "no more than the rest of a line"
    source.close()
