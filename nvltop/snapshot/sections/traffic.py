"""TX and RX of each GPU in the last minutes, as sparklines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nvltop.formatting import age, gb_per_s, rate, spark
from nvltop.model import GpuFrame, Maybe, Missing, known
from nvltop.report.tables import table
from nvltop.snapshot.sections.inputs import Snapshot, code_block

SPARK_LEVELS = "▁▂▃▄▅▆▇█"
SPARK_GAP = "·"
NO_READING = Missing("nothing was read")
PCIE_5_X16 = 64e9
"""Scale of the sparklines without NVLink, in bytes/s."""


def traffic(snapshot: Snapshot) -> str:
    """Return a row for each GPU and direction; of PCIe for a GPU without NVLink."""
    newest_s = snapshot.recent_step_s * max(map(len, snapshot.recent.values()), default=0)
    rows = [["GPU", "PATH", "OLDEST TO NEWEST", f"THE LAST {newest_s:g} s", "FULL", "NOW", "MEAN", "PEAK"]]
    span_s = 0.0
    for g in snapshot.frame.gpus:
        for name, key, now, full in _directions(g):
            values = snapshot.series.get((g.gpu.uuid, key), ())
            span_s = max(span_s, len(values) * snapshot.step_s)
            drawn, recent = (
                spark(series, full, SPARK_LEVELS, SPARK_GAP)
                for series in (values, snapshot.recent.get((g.gpu.uuid, key), ()))
            )
            numbers = [gb_per_s(v, 0).strip() for v in (now, *_mean_and_peak(values))]
            rows.append([str(g.gpu.index), name, drawn, recent, rate(full), *numbers])
    if len(rows) == 1:
        return ""
    caption = (
        f"The last {age(span_s)}, {snapshot.step_s:g} s per column, and its end, {snapshot.recent_step_s:g} s"
        f" per column; numbers in GB/s; {SPARK_GAP} is unknown."
    )
    return f"{caption}\n\n{code_block(table(rows, left=4))}"


def _directions(g: GpuFrame) -> list[tuple[str, str, Maybe[float], Maybe[float]]]:
    """Return name, key of the series, newest value and scale of each direction."""
    if known(g.nvlink.links_present) and not g.nvlink.links_present:
        return [
            ("PCIe TX", "pcie_tx", g.pcie.tx_bytes_per_s, PCIE_5_X16),
            ("PCIe RX", "pcie_rx", g.pcie.rx_bytes_per_s, PCIE_5_X16),
        ]
    full = g.nvlink.speed_bytes_per_s
    return [("TX", "tx", g.nvlink.tx_bytes_per_s, full), ("RX", "rx", g.nvlink.rx_bytes_per_s, full)]


def _mean_and_peak(values: Sequence[float]) -> tuple[Maybe[float], Maybe[float]]:
    """Return mean and peak of the known values."""
    seen = [v for v in values if not math.isnan(v)]
    return (math.fsum(seen) / len(seen), max(seen)) if seen else (NO_READING, NO_READING)
