"""The tab Errors: all error counters of links and NICs that are not zero."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.analysis.errors import HISTORY_MINUTES
from nvltop.analysis.uptime import counted_s, per_day
from nvltop.formatting import UNKNOWN, age, count, small_number
from nvltop.model import ErrorCount, Maybe, Missing, known
from nvltop.model.error_kinds import INFORMATIVE, error_kind
from nvltop.report.nics import nic_name, nic_number
from nvltop.report.phrases import remote_name
from nvltop.tui.dialogs.link_page import LinkPage
from nvltop.tui.render.bars import FunctionKey
from nvltop.tui.render.row import Column, TextRun, displayable
from nvltop.tui.widgets.list_tab import ListTab

NEVER_CHANGED_S: Final = 1e12
"""Sort value of a counter that has never changed, in seconds since its last change."""
INFORMATIVE_OFFSET: Final = 1e25
"""Amount subtracted from the sort value of an informative counter; larger than any counter."""
FIRST_NIC_SORT_PLACE: Final = 1 << 20
"""What the first NIC sorts as: after all GPUs."""
NIC_TIME: Final = Missing("the kernel does not report since when a NIC counts")


@dataclass(frozen=True, slots=True)
class CounterRow:
    """One counter of one link, or of one port of a NIC."""

    owner: str
    """UUID of the GPU, or name of the NIC."""
    sort_place: int
    """Sort value: the number of the GPU, or a larger one for a NIC."""
    label: str
    index: int
    """Index of the link or port."""
    kind: str
    words: str
    error: ErrorCount
    remote: str
    uptime_s: Maybe[float]
    """Seconds since the driver initialised the GPU."""
    link: bool = True


class ErrorsTab(ListTab[CounterRow]):
    """Error counters: lifetime total, increase since the start, and time of the last change."""

    TITLE = "Errors"
    COLUMNS: ClassVar = (
        Column("gpu", "GPU", 4, 0),
        Column("link", "LNK", 4, 0),
        Column("kind", "KIND", 26, 5, left=True),
        Column("total", "LIFETIME", 9, 0),
        Column("over", "IN", 5, 2),
        Column("per_day", "PER DAY", 8, 8),
        Column("hour", "HOUR+", 6, 6),
        Column("since", "START+", 7, 0),
        Column("per_min", "PER MIN", 8, 3),
        Column("changed", "CHANGED", 8, 4),
        Column("remote", "REMOTE END OR NIC", 34, 7, left=True),
    )
    FIRST_SORT = "since"
    ASCENDING_COLUMNS = frozenset({"gpu", "link", "kind", "remote", "changed"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "baseline", "Count errors from now on (the device's counters stay)"),
        Binding("enter", "enter", "Open the link"),
    ]

    class BaselineRequested(Message):
        """Message: the user wants errors to be counted from now on."""

    def items(self) -> Sequence[CounterRow]:
        """Return the counters that are not zero."""
        frame = self.view.frame
        index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
        moved = [
            CounterRow(
                owner=g.gpu.uuid,
                sort_place=g.gpu.index,
                label=str(g.gpu.index),
                index=link.index,
                kind=kind,
                words=error_kind(kind).plural,
                error=error,
                remote=displayable(remote_name(link, index_of), self.view.glyphs),
                uptime_s=g.uptime_s,
            )
            for g in self.view.gpus
            for link in g.links
            for kind, error in link.errors.items()
            if known(error.total) and error.total
        ]
        return moved + [
            CounterRow(
                owner=f.nic.device,
                sort_place=FIRST_NIC_SORT_PLACE + i,
                label=nic_number(frame, f),
                index=f.port.port,
                kind=kind,
                words=error_kind(kind).plural,
                error=error,
                remote=displayable(f"NIC {nic_name(f)}", self.view.glyphs),
                uptime_s=NIC_TIME,
                link=False,
            )
            for i, f in enumerate(frame.nics)
            for kind, error in f.errors.items()
            if known(error.total) and error.total
        ]

    def item_key(self, item: CounterRow) -> Hashable:
        """Return the identity of a counter."""
        return item.owner, item.index, item.kind

    def value(self, item: CounterRow, column: str) -> float | str:
        """Return the value by which a column is sorted."""
        error = item.error
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
        }
        value = values[column]
        # Informative counters, such as waiting for credit, are large and would bury real errors.
        below = (
            INFORMATIVE_OFFSET
            if item.kind in INFORMATIVE and column in ("total", "since", "per_min", "per_day", "hour")
            else 0.0
        )
        return (float(value) if known(value) else -1.0) - below

    def cell(self, item: CounterRow, column: Column) -> TextRun:
        """Return the text of a cell."""
        error = item.error
        rose = known(error.since_start) and error.since_start > 0 and item.kind not in INFORMATIVE
        role = "error" if rose else ""
        if column.key == "gpu":
            return item.label, ""
        if column.key == "link":
            mark, role = self.view.finding_mark(item.owner, item.index)
            return f"{item.index}{mark}", role
        if column.key == "kind":
            return item.words, role
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
            return ("-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"), role
        return item.remote, "dim"

    def tail(self, item: CounterRow, width: int) -> list[TextRun]:
        """Draw one mark per minute, high if the counter rose; the newest minute is at the right."""
        minutes = min(HISTORY_MINUTES, width - 1)
        if minutes < 10:
            return []
        levels = self.view.glyphs.levels
        marks = (levels[-1] if item.error.minutes >> i & 1 else levels[0] for i in range(minutes))
        is_alarm = item.error.minutes and item.kind not in INFORMATIVE
        return [("".join(reversed(list(marks))), "error" if is_alarm else "shadow")]

    def empty(self) -> str:
        """Return the text for an empty list: which counters were read."""
        links = [link for g in self.view.gpus for link in g.links]
        kinds = {kind for link in links for kind in link.errors}
        ports = [f for f in self.view.frame.nics if f.errors]
        counted = [f"{len(links)} links"] * bool(kinds) + [f"{len(ports)} ports of NICs"] * bool(ports)
        if not counted:
            return "no error counter could be read yet" if links else "no NVLink, so no link errors"
        kinds |= {kind for f in ports for kind in f.errors}
        return f"all {len(kinds)} kinds of error counters of {' and '.join(counted)} are 0"

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of a list, and the key that sets the baseline."""
        return (*super().keys(), FunctionKey("b", "Base", "baseline"))

    def action_baseline(self) -> None:
        """Count errors from now on."""
        self.post_message(self.BaselineRequested())

    def action_enter(self) -> None:
        """Open the selected counter's link; a NIC has no page."""
        if self.selected and self.selected.link:
            self.open_page(LinkPage(self.view, self.output, self.selected.owner, self.selected.index))
