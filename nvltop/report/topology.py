"""The matrix as `nvidia-smi topo -m` prints it, so that what reads the one reads the other."""

from __future__ import annotations

import re
from typing import Final

from nvltop.model import Frame, Gpu, Maybe, Missing, known

COLUMNS: Final = ("CPU Affinity", "NUMA Affinity", "GPU NUMA ID")
NUMA_SINCE: Final = 450
"""Drivers from this one on print the second column too."""
GPU_NUMA_SINCE: Final = 535
"""Drivers from this one on print all three."""
NOT_APPLICABLE: Final = "N/A"


def matrix_table(frame: Frame) -> str:
    """Return rows of cells with tabs between them, then the names of the NICs."""
    m = frame.matrix
    gpus = {f"GPU{g.gpu.index}": g.gpu for g in frame.gpus}
    columns = COLUMNS[: _columns(frame.inventory.driver_version)]
    lines = ["\t".join(("", *m.labels, *columns))]
    for label, cells in zip(m.labels, m.cells, strict=True):
        row = [label, *(" X " if cell == "X" else cell for cell in cells)]
        lines.append("\t".join((*row, *_affinities(gpus.get(label), len(columns)))))
    if m.legend:
        lines += ["", "NIC Legend:", "", *(f"  {label}: {name}" for label, name in m.legend.items())]
    return "\n".join(lines)


def _columns(driver: Maybe[str]) -> int:
    major = re.match(r"\d{1,6}", driver) if known(driver) else None
    number = int(major[0]) if major else GPU_NUMA_SINCE
    return 1 + (number >= NUMA_SINCE) + (number >= GPU_NUMA_SINCE)


def _affinities(gpu: Gpu | None, columns: int) -> list[str]:
    """Return what stands behind the cells; an empty one goes before the third column, as there."""
    if gpu is None:
        found = [""] * columns
    else:
        numbers: tuple[Maybe[object], ...] = (gpu.cpu_affinity, gpu.numa_node, Missing(NOT_APPLICABLE))
        found = [NOT_APPLICABLE if isinstance(n, Missing) else str(n) for n in numbers[:columns]]
    return [*found[:2], "", *found[2:]] if columns == len(COLUMNS) else found
