"""The tab Errors: every error counter that ever moved."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.analysis.errors import INFORMATIVE, MINUTES
from nvltop.analysis.health.errors import WORDS
from nvltop.model import ErrorCount, GpuFrame, Link, known
from nvltop.report.text import remote_name
from nvltop.tui.listing import ListTab
from nvltop.tui.paint.bars import Key
from nvltop.tui.paint.row import Column, Span, narrow
from nvltop.tui.tabs.link import LinkPage
from nvltop.units import age, count

NEVER: Final = 1e12
"""What a counter that has not changed sorts as."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One counter of one link."""

    gpu: GpuFrame
    link: Link
    kind: str
    error: ErrorCount
    remote: str


class Errors(ListTab[Moved]):
    """Counters with their lifetime, what rose since the start, and when."""

    TITLE = "Errors"
    COLUMNS: ClassVar = (
        Column("gpu", "GPU", 4, 0),
        Column("link", "LNK", 4, 0),
        Column("kind", "KIND", 26, 3, left=True),
        Column("total", "LIFETIME", 9, 0),
        Column("since", "START+", 7, 0),
        Column("per_min", "PER MIN", 8, 1),
        Column("changed", "CHANGED", 8, 2),
        Column("remote", "REMOTE END", 34, 4, left=True),
    )
    SORT = "since"
    TEXT_COLUMNS = frozenset({"gpu", "link", "kind", "remote", "changed"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "baseline", "Count errors from now on (the device's counters stay)"),
        Binding("enter", "enter", "Open the link"),
    ]

    class Baseline(Message):
        """Errors are to be counted from now on."""

    def items(self) -> Sequence[Moved]:
        """Return the counters that are not zero."""
        index_of = {g.gpu.uuid: g.gpu.index for g in self.view.frame.gpus}
        return [
            Moved(g, link, kind, error, narrow(remote_name(link, index_of)))
            for g in self.view.gpus
            for link in g.links
            for kind, error in link.errors.items()
            if known(error.total) and error.total
        ]

    def key(self, item: Moved) -> Hashable:
        """Name a counter."""
        return item.gpu.gpu.uuid, item.link.index, item.kind

    def value(self, item: Moved, column: str) -> float | str:
        """Return a column's number."""
        error = item.error
        if column == "changed":
            return NEVER if error.last_change_s is None else error.last_change_s
        if column in ("kind", "remote"):
            return item.kind if column == "kind" else item.remote
        values = {
            "gpu": item.gpu.gpu.index,
            "link": item.link.index,
            "total": error.total,
            "since": error.since_start,
            "per_min": error.per_min,
        }
        value = values[column]
        return float(value) if known(value) else -1.0

    def cell(self, item: Moved, column: Column) -> Span:
        """Return a column's text."""
        error = item.error
        rose = known(error.since_start) and error.since_start > 0 and item.kind not in INFORMATIVE
        role = "error" if rose else ""
        if column.key == "gpu":
            return str(item.gpu.gpu.index), ""
        if column.key == "link":
            mark, role = self.view.mark(item.gpu.gpu.uuid, item.link.index)
            return f"{item.link.index}{mark}", role
        if column.key == "kind":
            return WORDS[item.kind][1], role
        if column.key == "total":
            return count(error.total, 0), role
        if column.key == "since":
            return count(error.since_start, 0), role
        if column.key == "per_min":
            return count(error.per_min, 0), role
        if column.key == "changed":
            return ("-" if error.last_change_s is None else f"{age(error.last_change_s)} ago"), role
        return item.remote, "dim"

    def tail(self, item: Moved, width: int) -> list[Span]:
        """Draw the minutes with an increase, the newest at the right."""
        minutes = min(MINUTES, width - 1)
        if minutes < 10:
            return []
        levels = self.view.glyphs.levels
        drawn = (levels[-1] if item.error.minutes >> i & 1 else levels[0] for i in range(minutes))
        return [("".join(reversed(list(drawn))), "error" if item.error.minutes else "shadow")]

    def empty(self) -> str:
        """Say what was looked at."""
        links = [link for g in self.view.gpus for link in g.links]
        kinds = {kind for link in links for kind in link.errors}
        if not links:
            return "no NVLink, so no link errors"
        if not kinds:
            return "no error counter could be read yet"
        return f"all {len(kinds)} kinds of error counters of {len(links)} links stand at 0"

    def keys(self) -> Sequence[Key]:
        """Add the baseline."""
        return (*super().keys(), Key("b", "Base", "baseline"))

    def action_baseline(self) -> None:
        """Count from now on."""
        self.post_message(self.Baseline())

    def action_enter(self) -> None:
        """Open the selected counter's link."""
        if self.chosen:
            where = self.chosen.gpu.gpu.uuid, self.chosen.link.index
            self.open_page(LinkPage(self.view, self.styles_of, *where))
