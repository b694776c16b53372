"""The tab History: TX and RX of the node, a GPU, a link, PCIe or a NIC over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.memo import Memo, MemoTable
from nvltop.tui import keys
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Row, fit
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.history import chart
from nvltop.tui.tabs.history.series import TIME_SPANS, SeriesCache
from nvltop.tui.tabs.history.subjects import Subject, name, subjects
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

MIN_COLUMNS: Final = 30
MIN_LINES: Final = 7
"""Size below which no chart is drawn."""


class HistoryTab(Tab):
    """Charts with a cursor, each drawn once for each of its columns, at most once a second."""

    TITLE = "History"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "cursor(-1)", "Cursor back in time"),
        Binding("right", "cursor(1)", "Cursor on"),
        Binding("escape", "newest", "No cursor: the newest values"),
        Binding("right_square_bracket", "span(1)", "Longer time"),
        Binding("left_square_bracket", "span(-1)", "Shorter time"),
        Binding("p", "pcie", "PCIe or NVLink"),
        Binding("v", "lines", "Lines, or filled areas"),
        Binding("l", "link", "The selected link, or the GPU as a whole"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._chart = RowsWidget(output, "chart")
        self._wanted = chart.ChartRequest()
        self._row = 0
        """Index of what is shown in the list of subjects."""
        self._rows = 1
        self._link: int | None = None
        """Index of the link that is shown instead of its GPU."""
        self._pcie = False
        self._series = SeriesCache()
        self._memo: Memo[list[Row]] = Memo()
        self._drawn = MemoTable()
        """The smaller charts, by subject."""

    def compose(self) -> ComposeResult:
        """Show the charts."""
        yield self._chart

    def invalidate(self) -> None:
        """Discard the cached charts."""
        self._memo, self._drawn = Memo(), MemoTable()

    def draw(self) -> None:
        """Draw the charts if a column is over or the selection has changed."""
        view, at = self.view, self._chart.size
        self._wanted = replace(self._wanted, subject=self._subject())
        if at.width < MIN_COLUMNS or at.height < MIN_LINES:
            self._chart.show([fit([("no room for a chart", "dim")], at.width)] * (at.height > 0))
            return
        wanted, history = self._wanted, view.history
        number = chart.drawing_number(view, chart.redraw_seconds(view, wanted, at.width))
        key = (
            (wanted, at, history, history.generation, number, self._rows),
            (view.unit, view.glyphs, view.spark_style, len(view.frame.timeline)),
        )
        self._chart.show(
            self._memo.get(
                key, lambda: chart.rows(view, self._series, self._drawn, wanted, at.width, at.height)
            )
        )

    def _subject(self) -> Subject:
        """Return what is selected."""
        listed = subjects(self.view)
        self._rows = len(listed)
        self._row = min(self._row, len(listed) - 1)
        subject = listed[self._row]
        if subject.nic:
            return subject
        return replace(subject, link=self._link if subject.gpu else None, pcie=self._pcie)

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys that change the chart."""
        what = "NVLink" if self._pcie else ""
        return (
            keys.SUBJECT.on_bar(),
            keys.CURSOR.on_bar(),
            keys.SPAN_DOWN.on_bar(),
            keys.SPAN_UP.on_bar(),
            keys.PCIE.on_bar(what),
            keys.LINES.on_bar("Filled" if self._wanted.lines else ""),
        )

    def status(self) -> str:
        """Return what Up and Down show next."""
        listed = subjects(self.view)
        following = listed[self._row + 1] if self._row + 1 < len(listed) else None
        return f"Down: {name(self.view, following)}" if following else ""

    def move(self, by: int) -> None:
        """Select the node, a GPU or a NIC."""
        self._row = max(0, min(self._row + by, self._rows - 1))
        self._link = None

    def action_cursor(self, by: int) -> None:
        """Move the cursor by one column."""
        history, width = self.view.history, self._chart.size.width
        if width >= MIN_COLUMNS:
            column_s = chart.column_seconds(self.view, self._wanted, width)
            shown = chart.main_window(self.view, self._wanted, width)
            now_s = history.now_s
            at_s = (now_s if self._wanted.cursor_s is None else self._wanted.cursor_s) + by * column_s
            self._wanted = replace(self._wanted, cursor_s=None if at_s >= now_s else max(at_s, shown.start_s))
        self.request_draw()

    def action_newest(self) -> None:
        """Remove the cursor."""
        self._wanted = replace(self._wanted, cursor_s=None)
        self.request_draw()

    def action_span(self, by: int) -> None:
        """Select a longer or shorter time span."""
        span = max(0, min(self._wanted.span + by, len(TIME_SPANS) - 1))
        self._wanted = replace(self._wanted, span=span)
        self.request_draw()

    def action_pcie(self) -> None:
        """Switch between NVLink and PCIe."""
        self._pcie = not self._pcie
        self.request_draw()

    def action_lines(self) -> None:
        """Switch between lines and filled areas."""
        self._wanted = replace(self._wanted, lines=not self._wanted.lines)
        self.request_draw()

    def action_link(self) -> None:
        """Switch between the GPU and its selected link."""
        view = self.view
        if self._link is None and view.selected and view.link < len(view.selected.links):
            self._row = view.gpu + 1
            self._link, self._pcie = view.selected.links[view.link].index, False
        elif self._link is None:
            self.refuse(view.why_no_gpu or "no link is selected on Main or Links")
        else:
            self._link = None
        self.request_draw()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the time that was clicked in the large chart."""
        x, _ = event.screen_offset - self._chart.region.offset
        width = self._chart.size.width
        if width >= MIN_COLUMNS:
            shown = chart.main_window(self.view, self._wanted, width)
            column_s = chart.column_seconds(self.view, self._wanted, width)
            at_s = shown.start_s + (x - chart.LABEL_WIDTH - 1 + 0.5) * column_s
            is_past = shown.start_s <= at_s < self.view.history.now_s
            self._wanted = replace(self._wanted, cursor_s=at_s if is_past else None)
            self.request_draw()

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Change the time span."""
        self.action_span(by)
