"""The tab Processes: the jobs and processes on the GPUs, and signals to processes."""

from __future__ import annotations

import signal
from collections.abc import Hashable, Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from nvltop.host import signals
from nvltop.model import Missing, Process, known
from nvltop.report.phrases import nothing_is_read, unlisted_processes
from nvltop.text import normalize
from nvltop.tui import keys
from nvltop.tui.dialogs import pages
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.row import Column, TextRun, displayable, shorten
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.processes import rows
from nvltop.tui.tabs.processes.rows import ProcessEntry
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.list_tab import ListTab
from nvltop.tui.widgets.menu import Menu

SIGNALS: Final = tuple(
    f"SIG{name}" for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "STOP", "CONT", "KILL")
)
ALL_USERS: Final = "all users"
NONE_SELECTED: Final = "no process is selected"


class ProcessesTab(ListTab[ProcessEntry]):
    """A list of processes, or a tree with each job above its processes."""

    TITLE = "Processes"
    COLUMNS: ClassVar = rows.COLUMNS
    FIRST_SORT = ""
    ASCENDING_COLUMNS = frozenset({"pid", "user", "gpu"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f5,t", "tree", "Tree of jobs, or a list"),
        Binding("f9,k", "kill", "Send a signal"),
        Binding("u", "user", "Only one user's"),
        Binding("space", "tag", "Tag, for several signals at once"),
        Binding("U", "untag", "Untag all"),
        Binding("R", "ras", "Ask NCCL which rank of the job is behind"),
        Binding("F", "follow", "Follow the process, or stay at the row"),
    ]

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__(view, output)
        self._tree = True
        self._user = ""
        self._tagged: set[tuple[int, float]] = set()

    def items(self) -> Sequence[ProcessEntry]:
        """Return the rows."""
        found = rows.entries(self.view.frame, self._tree and not self.sort)
        only = self._user and self.view.alias(self._user)
        return [e for e in found if not only or e.job.user == only or _user(e) == only]

    def item_key(self, item: ProcessEntry) -> Hashable:
        """Return the identity of a row."""
        return (item.job.key, item.process.pid if item.process else None, item.is_activity)

    def value(self, item: ProcessEntry, column: str) -> float | str:
        """Return the value by which a column is sorted; unknown values come last."""
        shown = rows.value(item, column, self.view.frame.tick.wall_s)
        if column in ("user", "gpu"):
            return shown if isinstance(shown, str) else ""
        return shown if isinstance(shown, (int, float)) else -1.0

    def cell(self, item: ProcessEntry, column: Column) -> TextRun:
        """Return the text of a cell."""
        tagged = item.process is not None and _process_id(item.process) in self._tagged
        text = displayable(rows.text(self.view.frame, item, column.key), self.view.glyphs)
        return text, "warn" if tagged else "dim" if nothing_is_read(self.view.frame) else ""

    def line(self, item: ProcessEntry, columns: Sequence[Column], width: int) -> list[TextRun]:
        """Draw a job over the full width, or the cells of a process."""
        if item.process is None:
            text = (rows.activity_line if item.is_activity else rows.job_line)(self.view, item.job)
            return [(shorten(text, width, self.view.glyphs), "value")]
        return super().line(item, columns, width)

    def tail(self, item: ProcessEntry, width: int) -> list[TextRun]:
        """Draw the command of a process behind the columns."""
        return [(displayable(rows.command(item.process), self.view.glyphs) if item.process else "", "")]

    def tail_title(self) -> str:
        """Return the title above the commands."""
        return "COMMAND"

    def search_text(self, item: ProcessEntry) -> str:
        """Return the text that search and filter examine: its cells, the command and the job."""
        command = rows.command(item.process) if item.process else ""
        return normalize(f"{super().search_text(item)} {command} {item.job.label}").lower()

    def empty(self) -> str:
        """Return the reason why the list is empty."""
        return rows.empty(self.view.frame)

    def status(self) -> str:
        """Return the number of hidden processes, and the reason."""
        return unlisted_processes(self.view.frame) if known(self.view.frame.processes) else ""

    def keys(self) -> Sequence[FunctionKey]:
        """Add tree and kill."""
        tree = keys.TREE.on_bar("List" if self._tree and not self.sort else "Tree")
        return (*super().keys(), tree, keys.KILL.on_bar())

    def action_tree(self) -> None:
        """Switch between the tree of jobs and a list."""
        self._tree = not self._tree or bool(self.sort)
        self.sort = "" if self._tree else "gpu_mem"
        self.request_draw()

    def action_user(self) -> None:
        """Choose the user whose processes are listed."""
        users = sorted({u for e in rows.entries(self.view.frame, False) if (u := _user(e))})
        options = [("", ALL_USERS), *((user, user) for user in users)]
        self.app.push_screen(Menu("Show processes of", [(u or ALL_USERS, t) for u, t in options]), self._only)

    def _only(self, user: str | None) -> None:
        if user:
            self._user = "" if user == ALL_USERS else user
        self.request_draw()

    def action_tag(self) -> None:
        """Tag or untag the selected process, and select the next one."""
        if self.selected and self.selected.process:
            self._tagged ^= {_process_id(self.selected.process)}
            self.move(1)
        else:
            self.refuse(NONE_SELECTED)
        self.request_draw()

    def action_untag(self) -> None:
        """Remove all tags."""
        self._tagged.clear()
        self.request_draw()

    def action_follow(self) -> None:
        """Switch between following the selected process and staying at its row."""
        self.follow = not self.follow
        self.request_draw()

    def action_ras(self) -> None:
        """Open the page that asks NCCL about the job of the selected row."""
        if not self.selected or self.view.ras_refusal:
            self.refuse(self.view.ras_refusal or "no job is selected")
            return
        job = self.selected.job
        self.open_page(pages.ras_page(self.view, self.output, job.label, job.pids))

    def _targets(self) -> list[Process]:
        """Return the processes to signal: the tagged ones, or the selected one if none is tagged."""
        listed = [e.process for e in rows.entries(self.view.frame, False) if e.process]
        tagged = [p for p in listed if _process_id(p) in self._tagged]
        if tagged:
            return tagged
        return [self.selected.process] if self.selected and self.selected.process else []

    def action_kill(self) -> None:
        """Open the menu of signals, then the confirmation."""
        why = self.view.kill_refusal
        meant = self._targets()
        if why or not meant:
            self.refuse(why or NONE_SELECTED)
            return
        options = [(name, f"{int(getattr(signal, name)):2} {name}") for name in SIGNALS]

        def signalled(name: str | None) -> None:
            if name:
                self._confirm(name, meant)

        self.app.push_screen(Menu("Send signal", options, "SIGTERM"), signalled)

    def _confirm(self, name: str, meant: Sequence[Process]) -> None:
        """Show which processes would get the signal, and send it after a confirmation."""
        what = f"all {len(meant)}" if len(meant) > 1 else f"{meant[0].pid} {rows.command(meant[0])}"
        options = [("no", "No, leave them"), ("yes", f"Yes: {what}")]
        title = f"{name} to {', '.join(str(p.pid) for p in meant)}?"

        def confirmed(answer: str | None) -> None:
            if answer == "yes":
                self._send(name, meant)

        self.app.push_screen(Menu(title, options, "no"), confirmed)

    def _send(self, name: str, meant: Sequence[Process]) -> None:
        number = int(getattr(signal, name))
        for process in meant:
            started = process.start_ticks
            if isinstance(started, Missing):
                why = f"process {process.pid}: its start is unknown, so it may be another one by now"
            else:
                why = signals.send_signal(process.pid, started, number)
            message = why or f"{name} sent to {process.pid}"
            self.app.notify(message, severity="error" if why else "information", markup=False)
        self._tagged.clear()
        self.request_draw()


def _process_id(process: Process) -> tuple[int, float]:
    """Return the identity of a process; a process id alone may be reused."""
    return process.pid, process.started_s if known(process.started_s) else 0.0


def _user(entry: ProcessEntry) -> str:
    user = entry.process.user if entry.process else entry.job.user
    return user if known(user) else ""
