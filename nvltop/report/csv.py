"""The CSV report: a row for each GPU, whose link column is empty, followed by a row for each of its links."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from nvltop.model import Frame, GpuFrame, Link, Maybe, Missing, total
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.report.json_gpus import length, window
from nvltop.report.json_values import utc

if TYPE_CHECKING:
    from nvltop.report.formats import RenderOptions

TITLES: Final = (
    "time",
    "gpu",
    "link",
    "state",
    "tx_bytes_per_s",
    "rx_bytes_per_s",
    "speed_bytes_per_s",
    "errors_total",
    "errors_since_start",
    "util_percent",
    "memory_used_bytes",
    "power_w",
    "temperature_c",
    "pcie_tx_bytes_per_s",
    "pcie_rx_bytes_per_s",
    "missing",
    "rates_over_s",
    "age_s",
)
"""Column titles, with units; later versions add columns at the end. A value that could not be read is an
empty cell, with the reason in the column `missing`."""


def render(frame: Frame, options: RenderOptions) -> str:
    """Return a frame as lines of CSV; the titles are above the first report of a run."""
    rows = to_csv(frame, options.only)
    return f"{','.join(TITLES)}\n{rows}" if options.first else rows


def to_csv(frame: Frame, only: Iterable[str] | None = None) -> str:
    """Return a frame as lines of CSV without titles; `only` holds the UUIDs of the GPUs to list."""
    wanted = None if only is None else set(only)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    when = utc(frame.tick.wall_s)
    for g in frame.gpus:
        if wanted is None or g.gpu.uuid in wanted:
            over_s = length(g.span_s)
            rows: list[tuple[int | str, dict[str, Maybe[object]]]] = [("", _gpu(g))]
            rows += [(link.index, _link(link)) for link in g.links]
            age_s = round(g.read_age_s, 3)
            writer.writerows([*_row(when, g.gpu.index, link, of, over_s), age_s] for link, of in rows)
    return out.getvalue().rstrip("\n")


def _row(
    when: str, gpu: int, link: int | str, values: dict[str, Maybe[object]], over_s: Maybe[float]
) -> list[object]:
    missing = "; ".join(f"{k}: {v.reason}" for k, v in values.items() if isinstance(v, Missing))
    cells = [values.get(title, "") for title in TITLES[3:-3]]
    over_s = window(over_s, values["tx_bytes_per_s"], values["rx_bytes_per_s"])
    tail = [missing, "" if isinstance(over_s, Missing) else over_s]
    return [when, gpu, link, *("" if isinstance(c, Missing) else c for c in cells), *tail]


def _gpu(g: GpuFrame) -> dict[str, Maybe[object]]:
    return {
        "state": g.state,
        "tx_bytes_per_s": g.nvlink.tx_bytes_per_s,
        "rx_bytes_per_s": g.nvlink.rx_bytes_per_s,
        "speed_bytes_per_s": g.nvlink.speed_bytes_per_s,
        # A sum of a part of the counters would look like one of all.
        "errors_total": g.nvlink.errors_unread_part or g.nvlink.errors_total,
        "errors_since_start": g.nvlink.errors_unread_part or g.nvlink.errors_since_start,
        "util_percent": g.gauges.util_percent,
        "memory_used_bytes": g.gauges.memory_used_bytes,
        "power_w": g.gauges.power_w,
        "temperature_c": g.gauges.temperature_c,
        "pcie_tx_bytes_per_s": g.pcie.tx_bytes_per_s,
        "pcie_rx_bytes_per_s": g.pcie.rx_bytes_per_s,
    }


def _link(link: Link) -> dict[str, Maybe[object]]:
    # Informative kinds are not errors, as in the sums of a GPU.
    counted = [error for kind, error in link.errors.items() if kind not in INFORMATIVE]
    return {
        "state": link.state.value,
        "tx_bytes_per_s": link.tx_bytes_per_s,
        "rx_bytes_per_s": link.rx_bytes_per_s,
        "speed_bytes_per_s": link.speed_bytes_per_s,
        "errors_total": _errors([e.total for e in counted]),
        "errors_since_start": _errors([e.since_start for e in counted]),
    }


def _errors(counts: list[Maybe[int]]) -> Maybe[int]:
    return total(counts) if counts else Missing("no error counter read yet")
