"""What the painters are given: the newest frame, the history, and what the user is looking at."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from nvltop.analysis.rate_history import RateHistory, SeriesKey
from nvltop.formatting import BYTES, Unit
from nvltop.model import Finding, Frame, GpuFrame, Inventory, Link, Maybe, Remote, Severity, Tick
from nvltop.report.findings import links_of
from nvltop.report.phrases import remote_name
from nvltop.tui.render.glyphs import UNICODE, Glyphs, spark
from nvltop.tui.render.gpu_order import listed
from nvltop.tui.render.replay_bar import ReplayState
from nvltop.tui.render.row import TextRun, narrow
from nvltop.tui.render.steady_order import SteadyOrder

T = TypeVar("T")
FINDING_MARKS: Final[dict[Severity, TextRun]] = {
    Severity.CRITICAL: ("!", "error"),
    Severity.WARNING: ("!", "warn"),
    Severity.NOTICE: ("!", "caption"),
    Severity.UNKNOWN: ("?", "warn"),
}
"""What stands behind the number of a GPU or link, by the worst that was found of it."""
EMPTY_FRAME = Frame(Inventory(0.0, 0.0), Tick(0.0, 0.0, 0.25, "starting"), 0.0)


class _Spark(NamedTuple):
    """A sparkline as drawn last."""

    newest: int
    """Number of the second that its last character stands for."""
    settled: int
    """Of the last second that was whole then."""
    scale: Maybe[float]
    text: str


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

    gpu_order: SteadyOrder = field(default_factory=SteadyOrder)
    """Of the GPUs."""
    _marked: Sequence[Finding] | None = None
    _marks: dict[tuple[str, int | None], TextRun] = field(default_factory=dict)
    _cache: dict[Hashable, tuple[object, Any]] = field(default_factory=dict)
    _remotes_of: Inventory | None = None
    _remotes: dict[Remote, str] = field(default_factory=dict)
    _index_of: dict[str, int] = field(default_factory=dict)
    _sparks: dict[SeriesKey, _Spark] = field(default_factory=dict)
    _sparks_of: tuple[RateHistory | None, Glyphs] = (None, UNICODE)

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
        """Draw the last `count` whole seconds of a series; the second that still fills is in the numbers.

        A picture that moved with every refresh would be most of what the screen sends.
        """
        history, newest = self.history, self.history.bucket - 1
        if self._sparks_of[0] is not history or self._sparks_of[1] is not self.glyphs:
            self._sparks.clear()
            self._sparks_of = history, self.glyphs
        drawn = self._sparks.get(key)
        if (
            drawn is None
            or (len(drawn.text), drawn.scale) != (count, scale)
            or not 0 <= newest - drawn.newest < count
        ):
            drawn = _Spark(newest - count, newest - count, scale, "")
        if drawn.newest < newest:
            # It moves left; what was drawn stays, but for seconds that had not been read to their end.
            first = max(newest - count, min(drawn.newest, drawn.settled))
            kept = drawn.text[: len(drawn.text) - (drawn.newest - first)]
            fresh = spark(history.second_means(key, newest, newest - first), scale, self.glyphs)
            drawn = _Spark(newest, min(newest, history.settled(key)), scale, (kept + fresh)[-count:])
            self._sparks[key] = drawn
        return drawn.text

    def finding_mark(self, uuid: str, link: int | None = None) -> TextRun:
        """Return the mark of a GPU (with all its links) or a link about which a rule has found something."""
        if self._marked is not self.frame.findings:
            self._marked = self.frame.findings
            self._marks = {}
            for finding in reversed(self._marked):
                if finding.gpu and finding.severity in FINDING_MARKS:
                    mark = FINDING_MARKS[finding.severity]
                    self._marks |= {(finding.gpu, link): mark for link in (*links_of(finding), None)}
        return self._marks.get((uuid, link), ("", ""))

    def cached(self, name: Hashable, of: object, draw: Callable[[], T]) -> T:
        """Return what was drawn last time under a name, unless what it is `of` has changed since."""
        last = self._cache.get(name)
        if last is None or last[0] != of:
            last = self._cache[name] = of, draw()
        drawn: T = last[1]
        return drawn

    def remote_end(self, link: Link) -> str:
        """Name a link's other end."""
        if self._remotes_of is not self.frame.inventory:
            self._remotes_of = self.frame.inventory
            self._remotes.clear()
            self._index_of = {g.gpu.uuid: g.gpu.index for g in self.frame.gpus}
        name = self._remotes.get(link.remote)
        if name is None:
            name = self._remotes[link.remote] = narrow(remote_name(link, self._index_of), self.glyphs)
        return name

    def list_gpus(self, gpus: Sequence[GpuFrame]) -> None:
        """List these GPUs, as filter and order say; the selected one stays selected."""
        chosen = self.selected
        found = listed(gpus, self.filter_text, self.sort, self.descending)
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
        self.gpu_order.touch(self.now_s)
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
