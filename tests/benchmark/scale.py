"""What reading, folding and drawing cost on nodes of any size, in one process and without a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from measure import Result

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Tick
from nvltop.nvml import session, simulated
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.session import GpuReader
from nvltop.nvml.simulated import boards
from nvltop.nvml.simulated.link_layout import switched
from nvltop.nvml.simulated.node import Node
from nvltop.nvml.simulated.nodes import BUILDERS, DRIVER_595, make_node
from nvltop.tui.render import header
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.main import gpus, links, matrix

NODES = {
    "dgx-h100": BUILDERS["dgx-h100"],
    "16 x 18": lambda: make_node(boards.H100, switched(16, 18, 4), DRIVER_595, switches=(5, 6, 7, 8)),
    "8 x 36": BUILDERS["rubin"],
    "72 x 18": lambda: make_node(
        boards.B200, switched(72, 18, 18), DRIVER_595, switches=tuple(range(0x60, 0x72))
    ),
}
TURNS = 24
INTERVAL_S = 0.25
WIDTH, HALF = 120, 17


class Stopwatch:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._begun = time.perf_counter()

    def __exit__(self, *failure: object) -> None:
        self.seconds += time.perf_counter() - self._begun


def main_tab(view: ViewState) -> int:
    """Draw what Main shows; returns the rows."""
    drawn = header.header(view, WIDTH)
    drawn += gpus.table(view, WIDTH, HALF, 0)
    drawn += matrix.rows(view, WIDTH // 2, HALF)
    drawn += links.rows(view, WIDTH // 2, HALF, 0)
    return len(drawn)


def links_tab(view: ViewState) -> int:
    """Draw what Links shows; returns the rows."""
    at = heatmap.layout(view, WIDTH, 2 * HALF, 0, 0, None)
    return len(heatmap.rows(view, WIDTH, 2 * HALF, at, 0, 0))


def cost_of(name: str, build: Callable[[], Node]) -> list[Result]:
    BUILDERS[name] = build
    simulated.install(name, "training")
    opened = session.new_session(CallTracker())
    monitor, history = Monitor(), RateHistory()
    monitor.update(opened.open())
    readers = opened.readers
    for read in (GpuReader.read_states, GpuReader.read_gauges, GpuReader.read_errors):
        for reader in readers:
            for reading in read(reader):
                monitor.update(reading)
    view = ViewState(history=history)
    reading_s, folding_s = Stopwatch(), Stopwatch()
    drawing_s = {tab: Stopwatch() for tab in (main_tab, links_tab)}
    rows = dict.fromkeys(drawing_s, 0)
    for _ in range(TURNS):
        with reading_s:
            readings = [reading for reader in readers for reading in reader.read_counters()]
        with folding_s:
            for reading in readings:
                monitor.update(reading)
            monitor.update(Tick(time.monotonic(), time.time(), INTERVAL_S))
            frame = monitor.frame()
            history.add(frame)
        view.frame, view.gpus, view.now_s = frame, frame.gpus, frame.tick.mono_s
        for tab, watch in drawing_s.items():
            with watch:
                rows[tab] = tab(view)
        time.sleep(INTERVAL_S / 8)
    simulated.uninstall()
    count = sum(len(g.links) for g in frame.gpus)
    per_link = 1e6 / TURNS / count
    return [
        Result(
            "in one process",
            name,
            "Main" if tab is main_tab else "Links",
            {
                "gpus": len(readers),
                "links": count,
                "read_us_per_link": reading_s.seconds * per_link,
                "fold_us_per_link": folding_s.seconds * per_link,
                "paint_us_per_row": watch.seconds * 1e6 / TURNS / rows[tab],
                "paint_ms": watch.seconds * 1e3 / TURNS,
            },
        )
        for tab, watch in drawing_s.items()
    ]


def measure_scale() -> Sequence[Result]:
    return [result for name, build in NODES.items() for result in cost_of(name, build)]
