"""Whatever a server answers, the engine makes a view, and the view can be shown."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nvltop.fleet import json as fleet_json
from nvltop.fleet import text
from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.prometheus import MAX_TIME_S
from nvltop.fleet.queries import PRESENCE, VALUE_LABEL
from nvltop.fleet.source import Answer, FleetError, Query, Sample, Series
from nvltop.model import known
from nvltop.tui.fleet import detail_rows, head, node_rows
from nvltop.tui.fleet.view_state import FleetViewState

VALUES = """scraped gpus age driver links linkless links_up links_read limit step verdict begun tx rx rated
finding began xid xid_time first last now before tray counted kind node state speed errors power temperature
uptime lifetime ber both both_read 1h 10m 1m 15s""".split()  # noqa: SIM905
OTHER_LABELS = """job Hostname gpu UUID link rule severity cluster_uuid clique_id tray kind state verdict
device port""".split()  # noqa: SIM905
TEXTS = st.one_of(
    st.sampled_from(["", "0", "1", "a:1", "b:1", "149", "145", "critical", "xid-149", "¹", "9" * 100]),
    st.text(max_size=5),
)
LABELS = st.fixed_dictionaries(
    {VALUE_LABEL: st.sampled_from(VALUES), "instance": TEXTS}, optional=dict.fromkeys(OTHER_LABELS, TEXTS)
)
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, 4.0, 149.0, 1.79e9, -1.0, 1e300, 1e12]),
    st.floats(allow_nan=False, allow_infinity=False),
)
SAMPLES = st.lists(st.builds(Sample, LABELS, NUMBERS), max_size=40)
TIMES = st.floats(0, MAX_TIME_S)
"""All times that the client lets pass, in any order."""
POINTS = st.lists(st.tuples(TIMES, NUMBERS), max_size=5).map(tuple)
SERIES = st.lists(st.builds(Series, LABELS, POINTS), max_size=6)


@dataclass
class Hostile:
    """Answers every query with whatever it was given."""

    samples: list[Sample]
    series: list[Series]
    time_s: float | None
    dcgm: bool
    failing: frozenset[str]
    simulated = ""
    name = "http://hostile"
    traffic = (0, 0)

    def instant(self, query: Query) -> Answer:
        if query.name in self.failing:
            raise FleetError("refused")
        if query.name == "metrics":
            return Answer((Sample({"__name__": "DCGM_FI_DEV_GPU_TEMP" if self.dcgm else PRESENCE}, 1.0),))
        return Answer(tuple(self.samples), self.time_s)

    def range(self, query: Query, start_s: float, end_s: float, step_s: float) -> tuple[Series, ...]:
        assert (end_s - start_s) / step_s < 100
        if query.name in self.failing:
            raise FleetError("refused")
        return tuple(self.series)

    def raw(self, query: Query) -> tuple[Series, ...]:
        return tuple(self.series)

    def close(self) -> None:
        pass


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    SAMPLES,
    SERIES,
    st.one_of(st.none(), st.just(1.79e9), st.floats(0, 4e9)),
    st.booleans(),
    st.frozensets(st.sampled_from(["events", "past", "seen", "errors", "fabric", "history", "xids"])),
)
def test_any_answer_can_be_shown(samples, series, time_s, dcgm, failing):
    engine = FleetEngine(Hostile(samples, series, time_s, dcgm, failing))
    for _ in range(2):
        view = engine.refresh()
        json.loads(fleet_json.render(view))
        assert not known(view.scrape_interval_s) or view.scrape_interval_s >= 0.0
        assert text.render(view).splitlines()
        state = FleetViewState(fleet=view, received_s=1.0, now_s=2.0)
        for width in (80, 200):
            head.header(state, width)
            for node in view.nodes:
                for column in node_rows.COLUMNS:
                    node_rows.cell(node, column, state)
                    node_rows.value(node, column.key, True)
                node_rows.tail(node, width - 60, state)
            for domain in view.domains:
                node_rows.below(state, domain.key, width, 12)
        for node in view.nodes[:2]:
            for gpu in ("", "0"):
                state.detail = engine.detail(node.key, gpu)
                for row in state.detail.gpus or state.detail.links:
                    columns = detail_rows.LINK_COLUMNS if gpu else detail_rows.GPU_COLUMNS
                    for column in columns:
                        detail_rows.cell(row, column, state)
                        detail_rows.value(row, column.key, False)
                    detail_rows.charts(state, "0", "x", row.speed, 80, 8)
            if node.silent:
                engine.retire(node.key)
