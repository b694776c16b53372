"""What the painters are given: the newest frame, the history, and what the user is looking at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.formatting import BYTES, Unit
from nvltop.memo import Memo, MemoTable
from nvltop.model import Finding, Frame, GpuFrame, Inventory, Link, Maybe, Severity, Tick
from nvltop.report.findings import links_of
from nvltop.report.phrases import remote_name
from nvltop.tui.render.glyphs import UNICODE, Glyphs
from nvltop.tui.render.gpu_order import filtered_and_sorted
from nvltop.tui.render.replay_bar import ReplayState
from nvltop.tui.render.row import TextRun, displayable
from nvltop.tui.render.sparklines import Sparklines
from nvltop.tui.render.steady_order import SteadyOrder

FINDING_MARKS: Final[dict[Severity, TextRun]] = {
    Severity.CRITICAL: ("!", "error"),
    Severity.WARNING: ("!", "warn"),
    Severity.NOTICE: ("!", "caption"),
    Severity.UNKNOWN: ("?", "warn"),
}
"""What stands behind the number of a GPU or link, by the worst that was found of it."""
EMPTY_FRAME = Frame(Inventory(0.0, 0.0), Tick(0.0, 0.0, 0.25, "starting"), 0.0)


class DrawCache:
    """Parts of the screen as they were drawn last."""

    def __init__(self) -> None:
        self.parts = MemoTable()
        """Parts of rows that rarely change."""
        self.marks: Memo[dict[tuple[str, int | None], TextRun]] = Memo()
        self.remote_ends = MemoTable()
        self.sparklines = Sparklines()


@dataclass(slots=True)
class ViewState:
    """The state of the screen."""

    frame: Frame = EMPTY_FRAME
    history: RateHistory = field(default_factory=RateHistory)
    glyphs: Glyphs = UNICODE
    unit: Unit = BYTES
    meters: tuple[str, ...] = ("cpu", "memory", "tx", "rx")
    hidden: frozenset[str] = frozenset()
    """Columns of the GPU table that the user does not want."""
    gpus: tuple[GpuFrame, ...] = ()
    """The GPUs to list, in order."""
    gpu: int = 0
    """Position of the selected GPU in `gpus`."""
    filter_text: str = ""
    """Only GPUs that hold these are listed."""
    sort: str = "gpu"
    descending: bool = False
    """How the GPUs are sorted: see `gpu_order.KEYS`."""
    link: int = 0
    """Position of the selected link among its GPU's."""
    links_focused: bool = False
    column: int | None = None
    """Column of the matrix that is selected, in the row of the selected GPU; None outside the matrix."""
    estimate: bool = False
    """The matrix shows what pairs may send each other through NVSwitches."""
    show_links: bool = False
    """On a screen too narrow for both: the links instead of the matrix."""
    show_nics: bool = False
    """On a screen too low for more: the NICs instead of matrix and links."""
    nic_page: int = 0
    """Pages of the NICs that were turned from those nearest to the selected GPU."""
    readonly: bool = False
    """Nothing on the machine is to be changed from here."""
    paused: bool = False
    recording: bool = False
    """Everything that is read goes to a file as well."""
    replay: ReplayState | None = None
    """Set if what is shown is a recording, not this machine now."""
    alias: Callable[[str], str] = str
    """What a user is called, and what is typed, in what is drawn: themselves, unless it is for others."""
    now_s: float = 0.0
    """CLOCK_MONOTONIC of the newest tick, which goes on while the picture is paused."""

    nccl_report: tuple[str, ...] = ()
    """What NCCL reported of a job when it was last asked, as lines; for a snapshot."""

    gpu_order: SteadyOrder = field(default_factory=SteadyOrder)
    """Of the GPUs."""
    cache: DrawCache = field(default_factory=DrawCache)

    @property
    def ras_refusal(self) -> str:
        """Why NCCL cannot be asked about a job; empty if it can."""
        if self.replay:
            return "this is a recording: its jobs cannot be asked"
        return "this node is simulated: there is no job to ask" if self.frame.inventory.demo else ""

    @property
    def kill_refusal(self) -> str:
        """Why processes are out of reach; empty if they can be signalled."""
        if self.replay:
            return "this is a recording: nothing in it can be signalled"
        if self.frame.inventory.demo:
            return "this node is simulated: its processes are, too"
        if self.frame.inventory.container is True:
            return "in a container the driver may tell the host's process numbers: no signals are sent"
        return "--readonly: no signals are sent" if self.readonly else ""

    def sparkline(self, key: SeriesKey, count: int, scale: Maybe[float]) -> str:
        """Draw the last `count` complete seconds of a series."""
        return self.cache.sparklines.draw(self.history, self.glyphs, key, count, scale)

    def finding_mark(self, uuid: str, link: int | None = None) -> TextRun:
        """Return the mark of a GPU (with all its links) or a link that is the subject of a finding."""
        findings = self.frame.findings
        return self.cache.marks.get((findings,), lambda: _finding_marks(findings)).get((uuid, link), ("", ""))

    def remote_end(self, link: Link) -> str:
        """Return a name for the other end of a link."""
        return self.cache.remote_ends.get(
            link.remote, (self.frame.inventory, self.glyphs), lambda: self._remote_end(link)
        )

    def _remote_end(self, link: Link) -> str:
        index_of = {g.gpu.uuid: g.gpu.index for g in self.frame.gpus}
        return displayable(remote_name(link, index_of), self.glyphs)

    def list_gpus(self, gpus: Sequence[GpuFrame]) -> None:
        """List these GPUs, as filter and order say; the selected one stays selected."""
        chosen = self.selected
        found = filtered_and_sorted(gpus, self.filter_text, self.sort, self.descending)
        by = self.filter_text, self.sort, self.descending
        self.gpus = tuple(self.gpu_order.apply(found, lambda g: g.gpu.uuid, by, self.now_s))
        if chosen and chosen.gpu.uuid != (self.selected.gpu.uuid if self.selected else None):
            uuids = [g.gpu.uuid for g in self.gpus]
            if chosen.gpu.uuid in uuids:
                self.gpu = uuids.index(chosen.gpu.uuid)

    def clamp(self) -> None:
        """Keep the selection on rows that there are."""
        self.gpu = min(self.gpu, max(0, len(self.gpus) - 1))
        links = len(self.selected.links) if self.selected else 0
        self.link = min(self.link, max(0, links - 1))
        self.links_focused = self.links_focused and links > 0
        if self.column is not None:
            self.column = min(self.column, max(0, len(self.frame.matrix.labels) - 1))

    def move(self, by: int, links: bool) -> None:
        """Move the selection among the links of the selected GPU, or among the GPUs."""
        self.gpu_order.note_selection(self.now_s)
        if links:
            self.link = max(0, self.link + by)
        else:
            self.gpu = max(0, self.gpu + by)
            self.nic_page = 0
        self.clamp()

    def focus_links(self, links: bool) -> None:
        """Show the links and give them the focus, or give it back to the GPUs."""
        self.show_links = self.links_focused = links
        self.show_nics = False
        self.clamp()

    @property
    def selected(self) -> GpuFrame | None:
        """The selected GPU."""
        return self.gpus[self.gpu] if self.gpu < len(self.gpus) else None


def _finding_marks(findings: Sequence[Finding]) -> dict[tuple[str, int | None], TextRun]:
    """Return the marks of GPUs and links; the first finding about one, which is the worst, decides."""
    marks: dict[tuple[str, int | None], TextRun] = {}
    for finding in reversed(findings):
        if finding.gpu and finding.severity in FINDING_MARKS:
            mark = FINDING_MARKS[finding.severity]
            marks |= {(finding.gpu, link): mark for link in (*links_of(finding), None)}
    return marks
