"""The matrix as `nvidia-smi topo -m` prints it, so that programs can read both.

Tabs, words and their order are those of nvidia-smi with drivers 410 to 610. Newer drivers underline the title
even in a pipe; the underline is omitted here.
"""

from __future__ import annotations

from typing import Final

from nvltop.analysis.matrix import driver_series
from nvltop.formatting import UNKNOWN
from nvltop.model import Frame, GpuFrame, Maybe, Missing, known

NA: Final = "N/A"
"""Text of a value that NVML does not report."""
NUMA_COLUMN_SINCE: Final = 450
GPU_NUMA_COLUMN_SINCE: Final = 535
"""Driver series that introduced the columns `NUMA Affinity` and `GPU NUMA ID`."""

LEGEND: Final = """\
Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes (e.g., QPI/UPI)
  NODE = Connection traversing PCIe as well as the interconnect between PCIe Host Bridges within a NUMA node
  PHB  = Connection traversing PCIe as well as a PCIe Host Bridge (typically the CPU)
  PXB  = Connection traversing multiple PCIe bridges (without traversing the PCIe Host Bridge)
  PIX  = Connection traversing at most a single PCIe bridge
  NV#  = Connection traversing a bonded set of # NVLinks"""


def matrix_table(frame: Frame) -> str:
    """Return the matrix, its legend and that of the NICs, as `nvidia-smi topo -m` prints them."""
    m = frame.matrix
    series = driver_series(frame.inventory)
    with_numa = series is None or series >= NUMA_COLUMN_SINCE
    with_own = series is None or series >= GPU_NUMA_COLUMN_SINCE
    titles = ("CPU Affinity", *("NUMA Affinity",) * with_numa, *("GPU NUMA ID",) * with_own)
    lines = ["\t".join(("", *m.labels, *titles))]
    for i, (label, cells) in enumerate(zip(m.labels, m.cells, strict=True)):
        row = "\t".join((label, *map(_cell, cells)))
        cpu, numa, own = _affinity(frame.gpus[i]) if i < len(frame.gpus) else ("", "", "")
        # The title is two tab stops wide, so two tabs follow a NUMA node.
        lines.append(row + f"\t{cpu}" + f"\t{numa}" * with_numa + f"\t\t{own}" * with_own)
    lines += ["", LEGEND]
    if m.legend:
        lines += ["", "NIC Legend:", "", *(f"  {label}: {name}" for label, name in m.legend.items())]
    return "\n".join(lines)


def _cell(cell: str) -> str:
    return {"X": " X ", UNKNOWN: NA}.get(cell, cell)


def _affinity(g: GpuFrame) -> tuple[str, str, str]:
    numa = g.gpu.numa_affinity
    return or_na(g.gpu.cpu_affinity), "\t" * (not known(numa)) + or_na(numa), or_na(g.gpu.numa_id)


def or_na(value: Maybe[object]) -> str:
    """Return a value, or `N/A`."""
    return NA if isinstance(value, Missing) else str(value)
