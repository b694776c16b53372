"""The engine: asks a source for the values that are due, and makes a `FleetView` of the answers.

Each refresh takes two queries, whatever the number of nodes. Others are repeated every `SLOW_S` seconds:
error counts, expected members, domains, and whether there are recording rules.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Final

from nvltop.fleet import dcgm, queries
from nvltop.fleet.detail import DetailReader
from nvltop.fleet.domains import domains, place, worst_links
from nvltop.fleet.errors import LinkErrors
from nvltop.fleet.events import EventLog
from nvltop.fleet.history import History
from nvltop.fleet.members import Members
from nvltop.fleet.model import Detail, FleetFinding, FleetView, Node
from nvltop.fleet.nodes import Values, answering, by_node, node_key, short_names, silent
from nvltop.fleet.source import Answer, FleetError, Labels, Query, Source, valid_time
from nvltop.kernel_log.catalog import lookup
from nvltop.median import median
from nvltop.model import NOT_READ, Maybe, Missing, Severity, known

SLOW_S: Final = 30.0
"""Time after which the values that change slowly are queried again, seconds."""
MAX_SLOW_SHARE: Final = 0.05
"""Share of the time that these queries may take at most; they are sent less often on a slow server."""
WINDOWS_S: Final = (5, 10, 15, 20, 30, 60, 120, 180, 240, 300, 600, 1200)
"""Windows for rates; the first that contains `MIN_SCRAPES` scrapes of the slowest job is used for all."""
MIN_SCRAPES: Final = 4
DEFAULT_WINDOW_S: Final = 60.0
DEFAULT_SCRAPE_S: Final = 60.0
"""Scrape interval that is assumed until it is known."""
PROBED_NODES: Final = 8
"""Number of nodes whose scrape interval is measured."""
EVENT_HISTORY_STEP_S: Final = 60.0
"""Step at which past Xids are sought, seconds."""
EMPTY: Final = Answer(())


class FleetEngine:
    """Makes views of the nodes of one source. Its methods block, so that a thread of its own calls them."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self._clock = clock
        self._slow_at: float | None = None
        self._metrics: frozenset[str] = frozenset()
        self._window_s = DEFAULT_WINDOW_S
        self._errors_window_s = float(queries.ERROR_WINDOWS_S[0])
        self._scrape_s: Maybe[float] = NOT_READ
        self._errors = LinkErrors()
        self._slow_s = SLOW_S
        self._members = Members()
        self._log = EventLog()
        self._xids_until_s = 0.0
        self._history = History(DEFAULT_WINDOW_S)
        self._warnings: list[str] = []
        self._slow_warnings: list[str] = []
        self.view = FleetView(simulated=source.simulated)
        """The newest view."""

    def refresh(self) -> FleetView:
        """Query what is due and return the new view; raise `FleetError` if the server cannot be asked."""
        self._warnings = []
        due = self._slow_at is None or self._clock() - self._slow_at >= self._slow_s
        if due or not self._plan:
            self._choose_plan()
        if not self._plan:
            self.view = FleetView(time_s=time.time(), simulated=self.source.simulated)
            return self.view
        answer = self._nodes_answer()
        time_s = answer.time_s or time.time()
        self._warnings += answer.warnings
        values = by_node(answer.samples)
        if due:
            self._slow_warnings = []
            begun_s = self._clock()
            self._query_slow(len(values), time_s, answer.time_s)
            self._slow_at = self._clock()
            self._slow_s = max(SLOW_S, (self._slow_at - begun_s) / MAX_SLOW_SHARE)
        events = self._try(Query("events")) if self._plan == "nvltop" else EMPTY
        self._follow_events(events, due, time_s)
        self._follow_history(time_s)
        self.view = self._made(values, time_s)
        return self.view

    def _choose_plan(self) -> None:
        """Find out whose metrics there are; nodes that all fell silent are still those of nvltop."""
        answer = self.source.instant(Query("metrics"))
        found = frozenset(sample.labels.get("__name__", "") for sample in answer.samples)
        if not found and not self._plan:
            for names in ((queries.PRESENCE,), dcgm.TEMPERATURE):
                if self.source.instant(Query("seen", metric="|".join(names))).samples:
                    found = frozenset(names)
                    break
        self._metrics = found or self._metrics

    def detail(self, node: str, gpu: str = "") -> Detail:
        """Return the GPUs of a node, or the links of one of its GPUs."""
        member = self._members.get(node)
        if member is None:
            return Detail(node, gpu, self.view.time_s, "the node is no longer listed")
        reader = DetailReader(self.source, self._plan == "dcgm", self._window_s, self._errors_window_s)
        return reader.read(member, gpu, self._history.step_s, self.view.time_s)

    def retire(self, node: str) -> bool:
        """Remove a silent node until it answers again; return whether it was removed."""
        shown = next((n for n in self.view.nodes if n.key == node), None)
        if shown is None or not shown.silent:
            return False
        self._members.retire(node)
        return True

    @property
    def _plan(self) -> str:
        """Whose metrics are read: `nvltop`, `dcgm` or nothing."""
        if queries.PRESENCE in self._metrics:
            return "nvltop"
        return "dcgm" if self._metrics & set(dcgm.METRICS) else ""

    @property
    def _presence(self) -> str:
        if self._plan == "nvltop":
            return queries.PRESENCE
        if self._metrics & set(dcgm.TEMPERATURE):
            return "|".join(dcgm.TEMPERATURE)
        return next(name for name in dcgm.METRICS if name in self._metrics)

    def _recorded(self) -> bool:
        return queries.RECORDED in self._metrics and self._window_s <= queries.RECORDED_WINDOW_S

    def _query(self, name: str) -> Query:
        recorded = self._recorded()
        window_s = queries.RECORDED_WINDOW_S if recorded else self._window_s
        name = f"dcgm_{name}" if self._plan == "dcgm" and name in ("nodes", "history") else name
        return Query(name, window_s, self._errors_window_s, metric=self._presence, recorded=recorded)

    def _nodes_answer(self) -> Answer:
        if self._slow_at is None:
            self._measure_scrapes()
        return self.source.instant(self._query("nodes"))

    def _try(self, query: Query) -> Answer:
        """Return an answer; a query that fails becomes a warning, and its values are unknown."""
        try:
            answer = self.source.instant(query)
        except FleetError as error:
            self._warnings.append(f"{query.name}: {error}")
            return EMPTY
        self._warnings += answer.warnings
        return answer

    def _query_slow(self, nodes: int, time_s: float, asked_s: float | None) -> None:
        before = self._warnings
        self._warnings = []
        self._measure_scrapes()
        # At the time of the values: a node that is first scraped between the queries would seem silent.
        self._members.see_past(self._try(replace(self._query("seen"), at_s=asked_s)), time_s)
        if self._plan == "nvltop":
            self._choose_errors_window(nodes)
            self._members.see_fabric(self._try(replace(self._query("fabric"), at_s=asked_s)))
            self._errors = self._link_errors()
        else:
            self._errors = LinkErrors(Missing("dcgm-exporter counts no link errors by default"))
        self._slow_warnings, self._warnings = self._warnings, before

    def _link_errors(self) -> LinkErrors:
        try:
            answer = self.source.instant(self._query("errors"))
            reason = f"its error counters are not known for {queries.duration(self._errors_window_s)}"
            found = LinkErrors.of(answer.samples, Missing(reason))
            if found.truncated:
                sums = by_node(self.source.instant(self._query("node_errors")).samples)
                return replace(found, node_sums={k: its.numbers["node"] for k, (_, its) in sums.items()})
        except FleetError as error:
            self._warnings.append(f"errors: {error}")
            return LinkErrors(Missing("the query for errors failed"))
        return found

    def _measure_scrapes(self) -> None:
        """Find the scrape interval of the slowest job, and choose the window of the rates."""
        where = self._members.probe(PROBED_NODES)
        try:
            series = self.source.raw(replace(self._query("scrapes"), where=where))
        except FleetError as error:
            self._warnings.append(f"scrapes: {error}")
            return
        intervals = []
        for one in series[: 10 * PROBED_NODES]:
            times = sorted(moment for moment, _ in one.points)
            gaps = [b - a for a, b in pairwise(times)]
            if len(gaps) > 1:
                intervals.append(median(gaps))
        if not intervals:
            return
        self._scrape_s = max(intervals)
        needed_s = MIN_SCRAPES * self._scrape_s
        self._window_s = float(next((w for w in WINDOWS_S if w >= needed_s * 0.99), WINDOWS_S[-1]))
        step_s = queries.RECORDED_WINDOW_S if self._recorded() else self._window_s
        if step_s != self._history.step_s:
            self._history = History(step_s)

    def _choose_errors_window(self, nodes: int) -> None:
        """Choose the longest window for which at least half of the nodes have data."""
        answer = self._try(self._query("windows"))
        found = {sample.labels.get(queries.VALUE_LABEL, ""): sample.value for sample in answer.samples}
        for window_s in queries.ERROR_WINDOWS_S:
            if found.get(queries.duration(window_s), 0) >= max(1, nodes / 2):
                self._errors_window_s = float(window_s)
                return
        self._errors_window_s = float(queries.ERROR_WINDOWS_S[-1])

    def _follow_events(self, answer: Answer, due: bool, time_s: float) -> None:
        if self._plan != "nvltop":
            return
        if self._log.see_now(answer, time_s) or due:
            self._log.see_past(self._try(Query("past")), time_s)
        gap_s = time_s - self._xids_until_s
        if gap_s > 2 * EVENT_HISTORY_STEP_S:
            start_s = max(self._xids_until_s, time_s - queries.EVENT_LOOKBACK_S)
            try:
                series = self.source.range(Query("xids"), start_s, time_s, EVENT_HISTORY_STEP_S)
                self._log.see_xids(series, time_s)
            except FleetError as error:
                self._warnings.append(f"xids: {error}")
                return
        self._xids_until_s = time_s

    def _follow_history(self, time_s: float) -> None:
        span = self._history.missing(time_s)
        if span is None:
            return
        try:
            series = self.source.range(self._query("history"), *span, self._history.step_s)
        except FleetError as error:
            self._warnings.append(f"history: {error}")
            return
        self._history.add(((node_key(one.labels), one) for one in series), time_s)

    def _made(self, values: dict[str, tuple[Labels, Values]], time_s: float) -> FleetView:
        scrape_s = self._scrape_s if known(self._scrape_s) else DEFAULT_SCRAPE_S
        limit_s = max(3 * scrape_s, scrape_s + 10)
        fresh = {}
        for key, (labels, its) in values.items():
            scraped_s = its.numbers.get("scraped", math.inf)
            if not valid_time(scraped_s, time_s):
                continue
            self._members.see(key, labels, scraped_s, its.numbers.get("gpus"))
            if time_s - scraped_s <= limit_s:
                fresh[key] = its
        members = self._members.listed(time_s)
        alive = [member for member in members if member.key in fresh]
        members = [m for m in members if m.key in fresh or not self._members.replaced(m, alive)]
        names = short_names(members)
        nodes = []
        for member in members:
            name = names[member.key]
            if member.key in fresh:
                its = fresh[member.key]
                errors = self._errors.of_node(member.key, member.gpus)
                nodes.append(answering(member, name, its, errors, time_s))
            else:
                nodes.append(silent(member, name, _silence(member.last_seen_s, time_s)))
        nodes.sort(key=place)
        quiet = frozenset(n.key for n in nodes if n.silent)
        listed = {n.key for n in nodes}
        found = self._log.findings(quiet, {n.key: n.domain for n in nodes}, time_s)
        found = tuple(f for f in found if f.node in listed) + _last_xids(fresh)
        nodes = [replace(n, findings=_worst_first(n, found)) for n in nodes]
        window_s = queries.RECORDED_WINDOW_S if self._recorded() else self._window_s
        return FleetView(
            time_s=time_s,
            source="nvltop" if self._plan == "nvltop" else "dcgm-exporter",
            nodes=tuple(nodes),
            domains=domains(nodes),
            worst_links=worst_links(self._errors, found, nodes),
            findings=found,
            window_s=window_s,
            errors_window_s=self._errors_window_s,
            scrape_interval_s=self._scrape_s,
            warnings=tuple(dict.fromkeys((*self._warnings, *self._slow_warnings))),
            simulated=self.source.simulated,
            histories=self._history.columns(),
            history_step_s=self._history.step_s,
        )


def _silence(last_seen_s: float, time_s: float) -> Missing:
    """Return why a node has no values."""
    if not last_seen_s:
        return Missing("silent, seen in the last 24 hours")
    moment = datetime.fromtimestamp(last_seen_s)
    clock = moment.strftime("%H:%M" if time_s - last_seen_s < 12 * 3600 else "%a %H:%M")
    return Missing(f"silent since {clock}")


def _worst_first(node: Node, found: tuple[FleetFinding, ...]) -> tuple[FleetFinding, ...]:
    its = [f for f in found if f.node == node.key and f.active and f.severity is not Severity.INFO]
    return tuple(sorted(its, key=lambda f: (-f.severity.rank, f.role == "follows", f.first_s or 0.0)))


def _last_xids(fresh: dict[str, Values]) -> tuple[FleetFinding, ...]:
    """Return the last Xids that dcgm-exporter reports; it does not say when they were."""
    return tuple(
        FleetFinding(key, "xid", f"xid-{int(code)}", min(lookup(int(code)).severity, Severity.WARNING), gpu)
        for key, values in fresh.items()
        for gpu, code in values.xids.items()
    )
