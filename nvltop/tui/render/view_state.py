"""The input of the renderers: the newest frame, the history, and the state of the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.formatting import BYTES, Unit
from nvltop.frozen import mutable
from nvltop.memo import Memo, MemoTable
from nvltop.model import Finding, Frame, GpuFrame, Inventory, Link, Maybe, NicFrame, Severity, Tick
from nvltop.report.findings import links_of
from nvltop.report.phrases import remote_name
from nvltop.tui.render.glyphs import UNICODE, Glyphs
from nvltop.tui.render.gpu_order import filtered_and_sorted, nic_search_text
from nvltop.tui.render.replay_bar import ReplayState
from nvltop.tui.render.row import Row, TextRun, displayable
from nvltop.tui.render.spark_cells import SparkShape
from nvltop.tui.render.spark_pairs import SparkPairs, pair_series
from nvltop.tui.render.spark_style import ASCII_LEVELS, BRAILLE, SparkStyle
from nvltop.tui.render.sparklines import SparkKeys, Sparklines
from nvltop.tui.render.steady_order import SteadyOrder

if TYPE_CHECKING:
    from nvltop.comparison.baseline import Baseline

FINDING_MARKS: Final[dict[Severity, TextRun]] = {
    Severity.CRITICAL: ("!", "error"),
    Severity.WARNING: ("!", "warn"),
    Severity.NOTICE: ("!", "caption"),
    Severity.UNKNOWN: ("?", "warn"),
}
"""Mark behind the number of a GPU or link, by the severity of its worst finding."""
SPARK_ROLES: Final = {
    "tx": ("tx", "spark-tx", "spark-full"),
    "rx": ("rx", "spark-rx", "spark-full"),
}
"""Roles of the cells of a sparkline in each direction, by share of the ceiling."""
_UUID: Final[Callable[[GpuFrame], str]] = attrgetter("gpu.uuid")
EMPTY_FRAME = Frame(Inventory(0.0, 0.0), Tick(0.0, 0.0, 0.25, "starting"), 0.0)


class DrawCache:
    """A cache of rendered parts of the screen."""

    def __init__(self) -> None:
        self.parts = MemoTable()
        """Parts of rows that rarely change."""
        self.marks: Memo[dict[tuple[str, int | None], TextRun]] = Memo()
        self.remote_ends = MemoTable()
        self.sparklines = Sparklines()


@mutable
class ViewState:
    """The state of the screen."""

    frame: Frame = EMPTY_FRAME
    history: RateHistory = field(default_factory=RateHistory)
    glyphs: Glyphs = UNICODE
    spark_style: SparkStyle = BRAILLE
    """Characters of the sparklines; an ASCII screen has its own."""
    spark_cell_s: float = 0.0
    """Time that a cell of a sparkline covers, seconds; 0 for two readings."""
    unit: Unit = BYTES
    meters: tuple[str, ...] = ("cpu", "memory", "tx", "rx")
    hidden: frozenset[str] = frozenset()
    """Columns of the GPU table that the user has hidden."""
    extra: frozenset[str] = frozenset()
    """Further columns of the GPU table that the user has chosen."""
    selectable: Sequence[GpuFrame] = ()
    """The GPUs that are listed without a filter, in the order of the frame."""
    gpus: tuple[GpuFrame, ...] = ()
    """The listed GPUs, in the order of the table."""
    gpu: int = 0
    """Position of the selected GPU in `gpus`."""
    filter_text: str = ""
    """Text that the listed GPUs contain."""
    sort: str = "gpu"
    """Key by which the GPUs are sorted, one of `gpu_order.SORT_COLUMNS`."""
    descending: bool = False
    link: int = 0
    """Position of the selected link among the links of its GPU."""
    links_focused: bool = False
    column: int | None = None
    """Selected column of the matrix, in the row of the selected GPU; None outside the matrix."""
    matrix_content: str = "links"
    """What the cells of the matrix show, one of `matrix.CONTENTS`."""
    pane: str = ""
    """The pane below the GPUs that the user wants to see, where not all fit; empty if it does not matter."""
    nic: int | None = None
    """Selected row of the NIC table; None outside it."""
    nic_page: int = 0
    """Number of pages of NICs turned from the page of those nearest to the selected GPU."""
    readonly: bool = False
    """Whether signals to processes are disabled."""
    paused: bool = False
    recording: bool = False
    """Whether all items are also written to a recording."""
    replay: ReplayState | None = None
    """State of the replay; None if the screen shows this machine."""
    alias: Callable[[str], str] = str
    """Function from a user name or typed text to its displayed form; identity unless output is redacted."""
    now_s: float = 0.0
    """CLOCK_MONOTONIC of the newest tick, which advances even while the screen is paused."""

    acknowledged_s: float = 0.0
    """Unix time until which the user has seen the events; 0 for none."""
    baseline: Baseline | None = None
    """What Errors and the link page compare with; None if they do not compare."""
    nccl_report: tuple[str, ...] = ()
    """What NCCL reported of a job when it was last asked, as lines; for a snapshot."""

    gpu_order: SteadyOrder = field(default_factory=SteadyOrder)
    """Order of the GPUs in the table."""
    cache: DrawCache = field(default_factory=DrawCache)

    @property
    def ras_refusal(self) -> str:
        """Why NCCL cannot be asked about a job; empty if it can."""
        if self.replay:
            return "this is a recording: its jobs cannot be asked"
        return "this node is simulated: there is no job to ask" if self.frame.inventory.demo else ""

    @property
    def kill_refusal(self) -> str:
        """The reason why no signal can be sent to processes; empty if one can."""
        if self.replay:
            return "this is a recording: nothing in it can be signalled"
        if self.frame.inventory.demo:
            return "this node is simulated: its processes are, too"
        if self.frame.inventory.container is True:
            return "in a container the driver may report process ids of the host: no signals are sent"
        return "--readonly: no signals are sent" if self.readonly else ""

    def spark_shape(
        self, cells: int, full: Maybe[float], every_s: float = 0.0, rows: int = 1, down: bool = False
    ) -> SparkShape:
        """Return the shape of a sparkline of `cells` columns; its `seconds()` are the time that it covers.

        `every_s` is the time between two readings of the series if that is not the interval of the links.
        """
        half_s = max(self.frame.tick.interval_s, every_s, self.spark_cell_s / 2)
        style = self.spark_style if self.glyphs is UNICODE else ASCII_LEVELS
        return SparkShape(cells, half_s, full, style, rows, down)

    def sparklines(
        self,
        keys: Sequence[SeriesKey],
        cells: int,
        fulls: Sequence[Maybe[float]],
        role: str,
        every_s: float = 0.0,
    ) -> list[Row]:
        """Return the newest traffic of each of some series in `cells` columns.

        `fulls` are the rates at full height in bytes/s: the ceilings. `role` is `tx` or `rx`.
        """
        shapes = {full: self.spark_shape(cells, full, every_s) for full in set(fulls)}
        each = [((key,), shapes[full]) for key, full in zip(keys, fulls, strict=True)]
        drawn = self.cache.sparklines.draw_each(self.history, each, SPARK_ROLES[role])
        return [line for (line,) in drawn]

    def spark_pairs(
        self,
        name: str,
        owners: Sequence[tuple[str, int | None]],
        cells: int,
        fulls: Sequence[Maybe[float]],
        every_s: float = 0.0,
        prefix: str = "",
    ) -> list[Row]:
        """Return the newest traffic of each of some GPUs, links or ports: TX in `cells` columns, then RX.

        `name` is that of the table, `owners` and `prefix` are the rest of the `SeriesKey`. The list stays the
        same one until something in it changes.
        """
        shape = self.spark_shape(cells, 0.0, every_s)

        def make() -> SparkPairs:
            return SparkPairs(self.cache.sparklines, pair_series(owners, prefix, shape, fulls), SPARK_ROLES)

        return self.cache.parts.get(("pairs", name), (owners, prefix, shape, fulls), make).rows(self.history)

    def mirrored(
        self,
        tx: SparkKeys,
        rx: SparkKeys,
        cells: int,
        full: Maybe[float],
        rows: int = 1,
        every_s: float = 0.0,
    ) -> list[Row]:
        """Return 2 x `rows` lines: the sum of some series up from an axis, and of others down from it."""
        lines: list[Row] = []
        for keys, role, down in ((tx, "tx", False), (rx, "rx", True)):
            shape = self.spark_shape(cells, full, every_s, rows, down)
            lines += self.cache.sparklines.draw(self.history, keys, shape, SPARK_ROLES[role])
        return lines

    @property
    def finding_marks(self) -> Mapping[tuple[str, int | None], TextRun]:
        """The marks of the GPUs, links and ports of NICs that are subjects of findings."""
        findings = self.frame.findings
        return self.cache.marks.get((findings,), lambda: _finding_marks(findings))

    def finding_mark(self, uuid: str, link: int | None = None) -> TextRun:
        """Return the mark of a GPU or link that is the subject of a finding, otherwise an empty one.

        For a NIC, `uuid` is its name and `link` the number of the port.
        """
        return self.finding_marks.get((uuid, link), ("", ""))

    def remote_end(self, link: Link) -> str:
        """Return the name of the remote end of a link."""
        return self.cache.remote_ends.get(
            link.remote, (self.frame.inventory, self.glyphs), lambda: self._remote_end(link)
        )

    def _remote_end(self, link: Link) -> str:
        index_of = {g.gpu.uuid: g.gpu.index for g in self.frame.gpus}
        return displayable(remote_name(link, index_of), self.glyphs)

    def list_gpus(self) -> None:
        """List the selectable GPUs that match the filter, in order; the selected GPU stays selected."""
        selected = self.selected
        found = filtered_and_sorted(self.selectable, self.filter_text, self.sort, self.descending)
        criterion = self.filter_text, self.sort, self.descending
        self.gpus = tuple(self.gpu_order.apply(found, _UUID, criterion, self.now_s))
        if selected and selected.gpu.uuid != (self.selected.gpu.uuid if self.selected else None):
            uuids = [g.gpu.uuid for g in self.gpus]
            if selected.gpu.uuid in uuids:
                self.gpu = uuids.index(selected.gpu.uuid)

    def clamp(self) -> None:
        """Move a selection that is out of range to the last row."""
        self.gpu = min(self.gpu, max(0, len(self.gpus) - 1))
        links = len(self.selected.links) if self.selected else 0
        self.link = min(self.link, max(0, links - 1))
        self.links_focused = self.links_focused and links > 0
        if self.nic is not None:
            self.nic = min(self.nic, len(self.frame.nics) - 1) if self.frame.nics else None
        if self.column is not None:
            self.column = min(self.column, max(0, len(self.frame.matrix.labels) - 1))

    @property
    def focus(self) -> str:
        """The list that the arrow keys move in: `gpus`, `links`, `matrix` or `nics`."""
        if self.column is not None:
            return "matrix"
        return "nics" if self.nic is not None else "links" if self.links_focused else "gpus"

    def move(self, by: int, where: str = "gpus") -> None:
        """Move the selection of the links, of the NICs, or of the GPUs (`matrix` has their rows)."""
        self.gpu_order.note_selection(self.now_s)
        if where == "links":
            self.link = max(0, self.link + by)
        elif where == "nics":
            self.nic = max(0, (self.nic or 0) + by)
        else:
            self.gpu = max(0, self.gpu + by)
            self.nic_page = 0
        self.clamp()

    def focus_list(self, where: str) -> None:
        """Show and focus the links, the NICs or the matrix, or move the focus back to the GPUs."""
        self.pane = "" if where == "gpus" else where
        self.links_focused = where == "links"
        self.nic = 0 if where == "nics" else None
        self.column = 0 if where == "matrix" else None
        self.clamp()

    def select(self, uuid: str) -> None:
        """Select a GPU, if it is listed."""
        uuids = [g.gpu.uuid for g in self.gpus]
        if uuid in uuids:
            self.gpu, self.nic, self.column, self.links_focused = uuids.index(uuid), None, None, False

    @property
    def nics(self) -> Sequence[NicFrame]:
        """The ports of NICs that match the filter."""
        wanted, ports = self.filter_text.lower(), self.frame.nics
        return [f for f in ports if wanted in nic_search_text(f)] if wanted else ports

    @property
    def why_no_gpu(self) -> str:
        """The reason why no GPU is listed; empty if one is."""
        if self.gpus:
            return ""
        if self.frame.gpus:
            return "no GPU matches the filter; Esc clears it"
        problem = self.frame.inventory.problem
        return problem.summary if problem else "no GPU read yet"

    @property
    def selected(self) -> GpuFrame | None:
        """The selected GPU; None if no GPU is listed."""
        return self.gpus[self.gpu] if self.gpu < len(self.gpus) else None


def _finding_marks(findings: Sequence[Finding]) -> dict[tuple[str, int | None], TextRun]:
    """Return the marks of GPUs, links and ports; each shows its first finding, which is the worst."""
    marks: dict[tuple[str, int | None], TextRun] = {}
    for finding in reversed(findings):
        if finding.gpu and finding.severity in FINDING_MARKS:
            mark = FINDING_MARKS[finding.severity]
            marks |= {(finding.gpu, link): mark for link in (*links_of(finding), None)}
        elif finding.nic and finding.severity in FINDING_MARKS:
            # A finding about the first port of a NIC has no number.
            marks[finding.nic, finding.link or 1] = FINDING_MARKS[finding.severity]
    return marks
