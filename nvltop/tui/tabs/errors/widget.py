"""The tab Errors: all error counters of links and NICs that are not zero, or what differs from a baseline."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from nvltop.analysis.counter_track import HISTORY_MINUTES
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.analysis.uptime import counted_s, per_day
from nvltop.comparison.baseline import TOO_SHORT, CountChange
from nvltop.formatting import UNKNOWN, age, count, small_number
from nvltop.model import GpuFrame, Maybe, Missing, first_missing, known
from nvltop.model.error_kinds import INFORMATIVE
from nvltop.model.missing import UNSUPPORTED
from nvltop.report.phrases import unknown_by_reason, unread_count
from nvltop.text import counted
from nvltop.tui import keys
from nvltop.tui.dialogs import pages
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.comparison import heading, increase_text
from nvltop.tui.render.row import SEPARATOR, Column, Row, TextRun, fit, fit_text
from nvltop.tui.tabs.errors.counters import NO_LINK, CounterRow, counters
from nvltop.tui.widgets.list_tab import ListTab

NEVER_CHANGED_S: Final = 1e12
"""Sort value of a counter that has never changed, in seconds since its last change."""
INFORMATIVE_OFFSET: Final = 1e25
"""Amount subtracted from the sort value of an informative counter; larger than any counter."""
MIN_MINUTES: Final = 10
"""Number of minutes from which their marks are shown."""
NUMBER_WIDTH: Final = 9
"""Columns of the values of a comparison."""
FACT_ORDER: Final = 1e12
"""Sort value of a state or remote end that differs, above every increase of a counter."""
UNKNOWN_ORDER: Final = 0.5
"""Sort value of an increase that cannot be determined, below every increase."""


class ErrorsTab(ListTab[CounterRow]):
    """Error counters: lifetime total, increase since the start, and time of the last change."""

    TITLE = "Errors"
    COLUMNS: ClassVar = (
        Column("gpu", "GPU", 4, 0),
        Column("link", "LNK", 4, 0),
        Column("kind", "KIND", 25, 5, left=True),
        Column("total", "LIFETIME", 9, 0),
        Column("over", "IN", 5, 2),
        Column("per_day", "PER DAY", 8, 6),
        Column("hour", "HOUR+", 6, 8),
        Column("since", "START+", 7, 0),
        Column("per_min", "PER MIN", 8, 3),
        Column("changed", "CHANGED", 8, 4),
        Column("remote", "REMOTE END OR NIC", 33, 7, left=True),
    )
    COMPARED_COLUMNS: ClassVar = (
        Column("gpu", "GPU", 4, 0),
        Column("link", "LNK", 4, 0),
        Column("kind", "KIND", 26, 5, left=True),
        Column("before", "BEFORE", NUMBER_WIDTH, 0),
        Column("now", "NOW", NUMBER_WIDTH, 0),
        Column("change", "CHANGE", 7, 0),
        Column("per_hour", "PER HOUR", 8, 4),
        Column("changed", "CHANGED", 8, 6),
        Column("note", "NOTE", 58, 8, left=True),
    )
    FIRST_SORT = "since"
    ASCENDING_COLUMNS = frozenset({"gpu", "link", "kind", "remote", "changed", "note"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "enter", "Open the link, NIC or GPU"),
    ]

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of counters, or those of a comparison."""
        return self.COMPARED_COLUMNS if self.view.baseline else self.COLUMNS

    def heading(self, width: int) -> list[Row]:
        """Return the row that says what is compared with."""
        if not self.view.baseline:
            return []
        text = fit_text(heading(self.view, self.view.baseline), width, self.view.glyphs)
        return [fit([(text, "caption")], width)]

    def draw(self) -> None:
        """Draw the list, sorted by its first column again when a comparison begins or ends."""
        if self.sort not in {column.key for column in self.columns}:
            self.sort, self.descending = "change" if self.view.baseline else self.FIRST_SORT, True
        super().draw()

    def items(self) -> Sequence[CounterRow]:
        """Return the counters that are not zero, and what else differs from the baseline."""
        return counters(self.view)

    def item_key(self, item: CounterRow) -> Hashable:
        """Return the identity of a counter."""
        return item.owner, item.index, item.kind

    def value(self, item: CounterRow, column: str) -> float | str:
        """Return the value by which a column is sorted."""
        error = item.error
        if column == "change":
            return _order_of_change(item)
        if column == "note":
            return _note(item)
        if column == "changed":
            return NEVER_CHANGED_S if error.last_change_s is None else error.last_change_s
        if column in ("kind", "remote"):
            return item.kind if column == "kind" else item.remote
        values = {
            "gpu": item.sort_place,
            "link": item.index,
            "total": error.total,
            "since": error.since_start,
            "per_min": error.per_min,
            "over": counted_s(error, item.uptime_s),
            "per_day": per_day(error, item.uptime_s),
            "hour": error.last_hour,
            "before": item.change.before if item.change else error.total,
            "now": error.total,
            "per_hour": item.change.per_hour if item.change else error.total,
        }
        value = values[column]
        # Informative counters, such as waiting for credit, are large and would bury real errors.
        below = (
            INFORMATIVE_OFFSET if item.kind in INFORMATIVE and column not in ("gpu", "link", "over") else 0.0
        )
        return (float(value) if known(value) else -1.0) - below

    def cell(self, item: CounterRow, column: Column) -> TextRun:
        """Return the text of a cell."""
        if column.key in ("before", "now", "change", "per_hour", "note"):
            return _compared_cell(item, column.key)
        error = item.error
        role = _role(item)
        if column.key == "gpu":
            return item.label, ""
        if column.key == "link":
            if item.index == NO_LINK:
                return "-", ""
            mark, role = self.view.finding_mark(item.owner, item.index)
            return f"{item.index}{mark}", role
        if column.key == "kind":
            return fit_text(item.words, column.width, self.view.glyphs), role
        if column.key == "total":
            return count(error.total, 0), role
        if column.key == "since":
            return count(error.since_start, 0), role
        if column.key == "over":
            over_s = counted_s(error, item.uptime_s)
            return (UNKNOWN if isinstance(over_s, Missing) else age(over_s)), "dim"
        if column.key == "per_day":
            return small_number(per_day(error, item.uptime_s)), role
        if column.key == "hour":
            return count(error.last_hour, 0), role
        if column.key == "per_min":
            return count(error.per_min, 0), role
        if column.key == "changed":
            if item.fact:
                return "", ""
            return ("-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"), role
        return item.remote, "dim"

    def tail(self, item: CounterRow, width: int) -> list[TextRun]:
        """Draw one mark per minute, high if the counter rose; the newest minute is at the right."""
        minutes = _shown_minutes(width)
        if item.fact or not minutes:
            return []
        levels = self.view.glyphs.levels
        marks = (levels[-1] if item.error.minutes >> i & 1 else levels[0] for i in range(minutes))
        is_alarm = item.error.minutes and item.kind not in INFORMATIVE
        return [("".join(reversed(list(marks))), "error" if is_alarm else "shadow")]

    def tail_title(self) -> str:
        """Return how many minutes the marks cover; empty without room for them."""
        minutes = _shown_minutes(self.tail_width)
        return f"LAST {minutes} MIN" if minutes else ""

    def empty(self) -> str:
        """Return the text for an empty list: which counters were read."""
        if self.view.baseline and self.view.frame.gpus:
            return "no counter was or is above 0, and every link is as it was"
        all_links = [link for g in self.view.gpus for link in g.links]
        counts = [{e.total for e in link.errors.values()} for link in all_links]
        # Links with a counter that could not be read are named by `_unread`.
        links = [
            link
            for link, totals in zip(all_links, counts, strict=True)
            if any(map(known, totals)) and all(known(t) or t in UNSUPPORTED for t in totals)
        ]
        kinds = {kind for link in links for kind in link.errors}
        ports = [f for f in self.view.frame.nics if f.errors]
        owners = [counted(len(links), "link")] * bool(kinds)
        owners += [counted(len(ports), "NIC port")] * bool(ports)
        unread = _unread(self.view.gpus)
        if not owners:
            return unread or "no NVLink, so no link errors"
        kinds |= {kind for f in ports for kind in f.errors}
        text = f"all {len(kinds)} kinds of error counters of {' and '.join(owners)} are 0"
        return f"{text}; {unread}" if unread else text

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of a list, and the key that starts or ends a comparison."""
        return (*super().keys(), keys.COMPARE.on_bar("EndCmp" if self.view.baseline else ""))

    def status(self) -> str:
        """Return what a reader must know to judge the selected row, or which counters are missing."""
        if self.selected is None:
            return ""
        if self.view.baseline:
            return _note(self.selected)
        texts = _unread(self.view.gpus), self._unknown(self.selected)
        return unread_count(self.selected.error) or SEPARATOR.join(filter(None, texts))

    def _unknown(self, item: CounterRow) -> str:
        """Return why values in the row of a counter that was read are unknown; empty if all are known."""
        error = item.error
        name = f"GPU {item.label} link {item.index}" if item.link else item.label.replace("-", item.owner)
        values: dict[str, Maybe[object]] = {
            "over": counted_s(error, item.uptime_s),
            "per_day": per_day(error, item.uptime_s),
            "hour": error.last_hour,
            "per_min": error.per_min,
        }
        shown = {c.title: values[c.key] for c in self.visible_columns if c.key in values}
        return SEPARATOR.join(unknown_by_reason(name, shown))

    def action_enter(self) -> None:
        """Open the link, NIC or GPU of the selected counter."""
        item = self.selected
        if item is None:
            self.refuse("no counter is selected")
        elif not item.link:
            self.open_page(pages.nic_page(self.view, self.output, item.owner, item.index))
        elif item.index != NO_LINK:
            self.open_page(pages.link_page(self.view, self.output, item.owner, item.index))
        else:
            self.open_page(pages.gpu_page(self.view, self.output, item.owner))


def _shown_minutes(width: int) -> int:
    """Return for how many minutes there are marks in `width` columns; 0 if there is not enough room."""
    minutes = min(HISTORY_MINUTES, width - 1)
    return minutes if minutes >= MIN_MINUTES else 0


def _unread(gpus: Sequence[GpuFrame]) -> str:
    """Return which GPUs with links have unknown error counters, and why; empty if there is none."""
    unread = [g for g in gpus if not known(g.nvlink.errors_total) and g.nvlink.links_present != 0]
    partly = [g for g in gpus if g.nvlink.errors_unread_part]
    texts = []
    if unread:
        why = first_missing((unread[0].nvlink.links_present, unread[0].nvlink.errors_total))
        assert why is not None
        texts.append(f"counters of {gpu_names(unread)} unknown ({why.reason})")
    if partly and (why := partly[0].nvlink.errors_unread_part):
        texts.append(f"some counters of {gpu_names(partly)} unknown ({why.reason})")
    return "; ".join(texts)


def _rose(item: CounterRow) -> bool:
    """Return whether a counter rose, or a fact became worse, since the baseline, or since the start."""
    risen = item.change.increase if item.change else item.error.since_start
    if item.fact:
        return not item.fact.improved
    return known(risen) and risen > 0 and item.kind not in INFORMATIVE


def _role(item: CounterRow) -> str:
    return "error" if _rose(item) else "dim" if item.old else ""


def _order_of_change(item: CounterRow) -> float:
    """Return the sort value of a change: facts, then increases, then what is unknown, then what is equal."""
    if item.fact or item.change is None:
        return FACT_ORDER
    increase = item.change.increase
    value = UNKNOWN_ORDER if isinstance(increase, Missing) else float(increase)
    return value - (INFORMATIVE_OFFSET if item.kind in INFORMATIVE else 0.0)


def _note(item: CounterRow) -> str:
    """Return what a reader must know to judge a change, else the remote end."""
    if item.fact:
        return item.fact.note or f"{item.fact.before} → {item.fact.now}"
    increase = item.change.increase if item.change else None
    return increase.reason if isinstance(increase, Missing) else item.remote


def _compared_cell(item: CounterRow, column: str) -> TextRun:
    """Return the text of a cell of a comparison."""
    role = _role(item)
    if column == "note":
        return _note(item), "dim"
    if item.fact:
        # A remote end is cut to the kind of device; the note has all of it.
        shown = {"before": item.fact.before, "now": item.fact.now}.get(column, "-")
        return shown if len(shown) <= NUMBER_WIDTH else shown.partition(" ")[0], role
    change = item.change or CountChange(item.error.total, item.error.total)
    if column == "change":
        return increase_text(change.increase), role
    if column == "per_hour":
        return "-" if change.per_hour == TOO_SHORT else small_number(change.per_hour), role
    return count(change.before if column == "before" else item.error.total, 0), role
