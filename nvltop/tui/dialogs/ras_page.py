"""The page of what NCCL's RAS service reports of a job, asked on request only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from nvltop.ras.answer import RasReport
from nvltop.ras.client import RasError
from nvltop.ras.diagnosis import answered_for, diagnose
from nvltop.ras.inquiry import WARNING, RasUsageError, find_target
from nvltop.ras.text import OTHER_JOB
from nvltop.tui import keys
from nvltop.tui.dialogs import ras_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.menu import Menu
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.tab import Tab

ASK_AGAIN = "Press R again after some seconds: what does not move between two queries is stuck."


class RasPage(Tab):
    """Asks NCCL about one job each time the user confirms it, and shows what moved since the first answer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,backspace", "close", "Back"),
        Binding("R", "ask", "Ask NCCL (again)"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput, label: str, pids: Sequence[int]) -> None:
        super().__init__(view, output)
        self._page = RowsWidget(output, "ras-page")
        self._title = f"NCCL RAS: {label}"
        self._pids = tuple(pids)
        self._lines: Sequence[str] = (WARNING, "", "Press R to ask.")
        self._first: RasReport | None = None
        self._asking = False
        self._top = 0

    def compose(self) -> ComposeResult:
        """Show the page."""
        yield self._page

    def draw(self) -> None:
        """Draw the newest answer."""
        at = self._page.size
        self._page.show(ras_rows.rows(self._title, self._lines, at.width, at.height, self._top))

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of the page."""
        return (FunctionKey("R", "Ask", "ask"), keys.BACK.on_bar())

    def move(self, by: int) -> None:
        """Scroll the answer."""
        length = len(ras_rows.wrapped(self._lines, self._page.size.width))
        self._top = max(0, min(self._top + by, length - 1))
        self.request_draw()

    def action_ask(self) -> None:
        """Ask for a confirmation, then query the service; one query at a time."""
        if self._asking:
            return

        def confirmed(answer: str | None) -> None:
            if answer == "yes":
                self._begin()

        options = [("no", "No, do not ask"), ("yes", "Yes: every process of the job answers")]
        self.app.push_screen(Menu("Ask NCCL about this job?", options, "no"), confirmed)

    def _begin(self) -> None:
        self._asking = True
        self._lines = ("Asking NCCL; this can take 20 s if processes do not answer ...",)
        self.request_draw()
        self.run_worker(self._ask, thread=True, exclusive=True, name="ras")

    def _ask(self) -> None:
        """Query the service; runs in a thread."""
        report: RasReport | None = None
        try:
            target = find_target(pids=self._pids)
            report = target.ask()
            diagnoses = diagnose(report, self._first)
            lines = ras_rows.answer_lines(report, diagnoses, str(target), self.view.frame)
            if not answered_for(report, self._pids):
                lines.append(OTHER_JOB)
            if self._first is None and any(d.conspicuous for d in diagnoses):
                lines.append(ASK_AGAIN)
        except (RasError, RasUsageError) as error:
            lines = [str(error)]
        self.app.call_from_thread(self._show, lines, report)

    def _show(self, lines: Sequence[str], report: RasReport | None) -> None:
        self._lines, self._asking, self._top = lines, False, 0
        self._first = self._first or report
        if report is not None:
            self.view.nccl_report = tuple(lines)
        self.request_draw()
