"""An estimate of the traffic of each pair of GPUs behind NVSwitches, which NVML does not count.

Pure. The traffic that each GPU sends and receives is known. Of all ways to distribute it over the pairs of
a job, the estimate is the one of maximum entropy (by iterative proportional fitting). It is correct for
all-to-all traffic, and mostly wrong for rings and for pairs that communicate at the same time; README.md
states by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.activity.gpu_groups import group_by_job, group_by_topology
from nvltop.analysis.matrix import SAME_GPU, VIA_NVSWITCH
from nvltop.model import Frame, Maybe, Missing, first_missing, known

ITERATIONS: Final = 30
MAX_IMBALANCE: Final = 0.1
"""Relative difference of the bytes sent and received above which there is no estimate."""

SHARED: Final = Missing("a GPU is shared by several jobs")
LEAVES_NODE: Final = Missing("sent data is not received here: it leaves this node or is still in transit")
NOT_IN_ONE_JOB: Final = Missing("not in one job")

PairTable = tuple[tuple[Maybe[float], ...], ...]


def estimate_pairs(frame: Frame) -> PairTable:
    """Return bytes/s from row to column: estimates behind NVSwitches, exact numbers elsewhere.

    Both are means over the averaging window of the GPU (`GpuFrame.mean_span_s`).
    """
    exact = frame.matrix.pair_tx_bytes_per_s
    table = [[NOT_IN_ONE_JOB if v == VIA_NVSWITCH else v for v in row] for row in exact]
    place = {g.gpu.uuid: i for i, g in enumerate(frame.gpus)}
    groups = group_by_job(frame.jobs, frame.gpus)
    taken = frozenset(uuid for group in groups for uuid in group.gpus)
    groups += group_by_topology(frame.gpus, frame.matrix, taken)
    for group in groups:
        at = [place[uuid] for uuid in group.gpus]
        if any(exact[i][j] not in (VIA_NVSWITCH, SAME_GPU) for i in at for j in at):
            continue
        shared = group.job is not None and not group.job.exact
        pairs = (
            SHARED
            if shared
            else fit_pairs(
                [frame.gpus[i].nvlink.mean_tx_bytes_per_s for i in at],
                [frame.gpus[i].nvlink.mean_rx_bytes_per_s for i in at],
            )
        )
        for a, i in enumerate(at):
            for b, j in enumerate(at):
                if i != j:
                    table[i][j] = pairs if isinstance(pairs, Missing) else pairs[a][b]
    return tuple(map(tuple, table))


def fit_pairs(sent: Sequence[Maybe[float]], received: Sequence[Maybe[float]]) -> Maybe[list[list[float]]]:
    """Return the most even pairwise rates that add up to what each GPU sent and received."""
    unread = first_missing((*sent, *received))
    if unread:
        return unread
    out = [v for v in sent if known(v)]
    into = [v for v in received if known(v)]
    n, total = len(out), sum(out)
    if abs(total - sum(into)) > MAX_IMBALANCE * max(total, sum(into)):
        return LEAVES_NODE
    into = [v * total / sum(into) for v in into] if total else into
    pairs = [[0.0 if i == j else 1.0 for j in range(n)] for i in range(n)]
    for _ in range(ITERATIONS):
        for i, row in enumerate(pairs):
            scale = out[i] / (sum(row) or 1.0)
            pairs[i] = [v * scale for v in row]
        columns = [sum(row[j] for row in pairs) for j in range(n)]
        scales = [v / (c or 1.0) for v, c in zip(into, columns, strict=True)]
        pairs = [[v * s for v, s in zip(row, scales, strict=True)] for row in pairs]
    return pairs
