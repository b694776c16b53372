"""The frame: the state of the node at one time, computed from the items."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from nvltop.frozen import frozen
from nvltop.model.activity import Activity, Judgement
from nvltop.model.event import Event
from nvltop.model.finding import Check, Finding, Pending
from nvltop.model.inventory import Gpu, Inventory, Remote
from nvltop.model.job import Job, Processes
from nvltop.model.kernel_log import Culprit, FabricLog, Incident
from nvltop.model.link_counters import Counter, Scope
from nvltop.model.missing import NOT_READ, Maybe, Missing
from nvltop.model.nic import Nic, NicPort
from nvltop.model.reading import (
    C2cTraffic,
    ComputeActivity,
    Cost,
    Fabric,
    Gauges,
    Host,
    LinkBer,
    LinkState,
    PcieTraffic,
    Tick,
)
from nvltop.model.timeline import TimelineEvent


@frozen
class ErrorCount:
    """One error counter of one link."""

    total: Maybe[int]
    """Count since the driver was loaded or the GPU was reset."""
    since_start: Maybe[int]
    """Increases since nvltop started; a reset does not lower it."""
    per_min: Maybe[float]
    """Increases over the last minute, or since the first reading if that is shorter."""
    last_change_s: float | None
    """Seconds since the last increase; None if there was none."""
    minutes: int = 0
    """Bit mask of the last 30 one-minute windows with an increase; bit 0 is the current one."""
    window_s: float = 60.0
    """Seconds over which `per_min` counts; less in the first minute."""
    peak_per_s: float = 0.0
    """Highest rate of increase between two readings of the last minute."""
    reset_s: float | None = None
    """Seconds since the counter decreased or the driver initialised the GPU again; None if it never did."""
    last_hour: Maybe[int] = 0
    """Increases that nvltop observed during the last hour, or since its start if that is later."""
    last_known: tuple[int, float] | None = None
    """The last count above 0 of a counter that cannot be read now, and its age in seconds."""


@frozen
class Link:
    """One link of one GPU."""

    index: int
    state: LinkState
    state_reason: str = ""
    """Why the state is unknown."""
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """Speed of the link, one direction."""
    remote: Remote = field(default_factory=Remote)
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    tx_bytes_total: Maybe[int] = NOT_READ
    rx_bytes_total: Maybe[int] = NOT_READ
    errors: Mapping[str, ErrorCount] = field(default_factory=dict)
    """Error counters of the kinds that the board counts, by kind."""
    mean_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Mean over the window of `GpuFrame.mean_span_s`."""
    mean_rx_bytes_per_s: Maybe[float] = NOT_READ

    @property
    def active(self) -> bool:
        """Whether the link is trained (up, asleep, or with traffic disabled)."""
        return self.state.active


@frozen
class NvLink:
    """Totals of the NVLinks of one GPU."""

    links_present: Maybe[int] = NOT_READ
    """Number of links; 0 on a GPU without NVLink."""
    links_up: Maybe[int] = NOT_READ
    speed_bytes_per_s: Maybe[float] = NOT_READ
    """Sum of the speeds of the active links, one direction: 100 % in `% of speed`."""
    ceiling: Maybe[float] = NOT_READ
    """Share of the speed that NCCL reaches in practice on this NVLink generation, 0 to 1."""
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    recent_share: Maybe[float] = NOT_READ
    """Mean over the last seconds of the busier direction's share of the speed."""
    recent_s: float = 0.0
    """Length of the window of `recent_share` in seconds; it grows to ten."""
    counter: Maybe[Counter] = NOT_READ
    scope: Maybe[Scope] = NOT_READ
    errors_total: Maybe[int] = NOT_READ
    """Lifetime count of all errors of all links that could be read, without informative kinds."""
    errors_since_start: Maybe[int] = NOT_READ
    errors_unread_part: Missing | None = None
    """Why a part of these two sums could not be read; None if all of it was read, or none."""
    tx_bytes_total: Maybe[int] = NOT_READ
    """Only if the driver counts all links as one: elsewhere a sum would jump when a link goes down."""
    rx_bytes_total: Maybe[int] = NOT_READ
    mean_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Mean over the window of `GpuFrame.mean_span_s`, which tables show and sort by."""
    mean_rx_bytes_per_s: Maybe[float] = NOT_READ
    peak_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Highest rate between two readings of that window."""
    peak_rx_bytes_per_s: Maybe[float] = NOT_READ


@frozen
class LinkSpan:
    """Traffic of the links of one GPU between two refreshes of their counters."""

    start_s: float
    """CLOCK_MONOTONIC."""
    end_s: float
    tx_bytes_per_s: Maybe[float]
    """TX rate of all links."""
    rx_bytes_per_s: Maybe[float]
    rates: Sequence[Maybe[float]]
    """Rate of each counter in bytes/s: TX of every link, then RX; two entries for `Scope.GPU`."""


@frozen
class Throttling:
    """Share of the last seconds in which the driver throttled the clocks, 0 to 1, by reason.

    The driver counts these times (such as `Gauges.power_cap_s`), so that short throttling between two
    readings is included. Several reasons can apply at once, so the shares may add up to more than 1.
    """

    over_s: Maybe[float] = NOT_READ
    """Length in seconds of the window that the shares refer to."""
    power_cap: Maybe[float] = NOT_READ
    sw_thermal: Maybe[float] = NOT_READ
    hw_thermal: Maybe[float] = NOT_READ
    power_brake: Maybe[float] = NOT_READ


@frozen
class GpuFrame:
    """One GPU."""

    gpu: Gpu
    state: str = "ok"
    """`ok`, `lost` or `unreadable`."""
    state_reason: str = ""
    age_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds since each group of values was read."""
    gauges: Gauges = field(default_factory=Gauges)
    pcie: PcieTraffic = field(default_factory=PcieTraffic)
    c2c: C2cTraffic = field(default_factory=C2cTraffic)
    fabric: Fabric = field(default_factory=Fabric)
    nvlink: NvLink = field(default_factory=NvLink)
    links: Sequence[Link] = ()
    ber: LinkBer | None = None
    """Bit error rates; None on boards without them, and before the first reading."""
    span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the start and the end of the span of the newest link rates."""
    pcie_span_s: tuple[float, float] | None = None
    stale: bool = False
    """Whether the link counters, or all values of a GPU without NVLink, are older than expected."""
    spans: tuple[LinkSpan, ...] = ()
    """Recent spans, oldest first: several may have ended since the previous frame."""
    mean_span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the start and the end of the averaging window of the links."""
    mean_is_step: bool = False
    """Whether the averaging window is a step of the GPU's job, or several very short steps."""
    compute: ComputeActivity = field(default_factory=ComputeActivity)
    compute_span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the start and the end of the span of `compute`."""
    throttling: Throttling = field(default_factory=Throttling)
    uptime_s: Maybe[float] = NOT_READ
    """Seconds since the driver initialised the GPU, since which its counters count."""

    @property
    def read_age_s(self) -> float:
        """Age by which `stale` is decided: of the link counters, or of the newest values without links."""
        return self.age_s["links"] if "links" in self.age_s else min(self.age_s.values(), default=0.0)


@frozen
class NicSpan:
    """Traffic of a NIC's port between two readings."""

    start_s: float
    """CLOCK_MONOTONIC."""
    end_s: float
    tx_bytes_per_s: Maybe[float]
    rx_bytes_per_s: Maybe[float]


@frozen
class NicFrame:
    """One port of a NIC."""

    nic: Nic
    port: NicPort
    """The last reading; its state is `gone` if the port no longer exists."""
    label: str = ""
    """Label of the NIC in the matrix, such as `NIC3`; empty if it is not listed there."""
    tx_bytes_per_s: Maybe[float] = NOT_READ
    rx_bytes_per_s: Maybe[float] = NOT_READ
    ip_tx_bytes_per_s: Maybe[float] = NOT_READ
    """Traffic of the kernel's network stack, which is not RDMA; RoCE only."""
    ip_rx_bytes_per_s: Maybe[float] = NOT_READ
    errors: Mapping[str, ErrorCount] = field(default_factory=dict)
    """Error counters that the port has, by the kernel's name."""
    span_s: tuple[float, float] | None = None
    """CLOCK_MONOTONIC of the two readings behind the rates."""
    spans: tuple[NicSpan, ...] = ()
    """Recent spans, oldest first: several may have ended since the previous frame."""
    age_s: float = 0.0
    """Seconds since the port was read."""
    stale: bool = False
    """Whether the last reading is older than expected."""

    @property
    def active(self) -> bool:
        """Whether the port can carry traffic."""
        return self.port.state == "active"


@frozen
class Matrix:
    """The matrix of `nvidia-smi topo -m`, and more values by pair of GPUs, each a square matrix."""

    labels: tuple[str, ...] = ()
    """Labels of rows and columns: GPUs, then NICs."""
    cells: tuple[tuple[str, ...], ...] = ()
    """Cells: `X`, `NV#`, `PIX`, `PXB`, `PHB`, `NODE`, `SYS`, or `?` if unknown."""
    p2p_nvlink: tuple[tuple[Maybe[str], ...], ...] = ()
    """P2P status over NVLink by GPU: `X`, `OK`, or NVML's code for the reason why not."""
    pair_tx_bytes_per_s: tuple[tuple[Maybe[float], ...], ...] = ()
    """TX rate from row to column, by GPU; missing on NVSwitch boards, where NVML has no counter for it."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Reason of each `?` cell, by `ROW,COLUMN`."""
    legend: Mapping[str, str] = field(default_factory=dict)
    """Name of the NIC for each label, if the labels are numbers."""


@frozen
class Verdict:
    """The answer to "is NVLink working, and is it my bottleneck?"."""

    id: str
    """One of `VERDICT_IDS` (nvltop/analysis/verdict.py)."""
    summary: str
    """The verdict in one or two sentences."""
    headline: str = ""
    """The verdict in at most `MAX_HEADLINE` characters."""
    watched_s: float = 0.0
    """Seconds for which the traffic has been read."""
    judgement: Judgement | None = None
    """Numbers behind the verdict: those of the most limited job."""
    others: int = 0
    """Number of other jobs that use NVLink."""


@frozen
class Frame:
    """All values to be shown at one time."""

    inventory: Inventory
    tick: Tick
    started_s: float
    """Unix time of the first item."""
    gpus: tuple[GpuFrame, ...] = ()
    matrix: Matrix = field(default_factory=Matrix)
    nics: tuple[NicFrame, ...] = ()
    """All ports of all NICs."""
    host: Host = field(default_factory=Host)
    cost: Cost = field(default_factory=Cost)
    verdict: Verdict = Verdict("starting", "Waiting for the first readings")
    findings: tuple[Finding, ...] = ()
    """Findings, the worst first."""
    past_findings: tuple[Finding, ...] = ()
    """Findings that have ended, newest first."""
    checks: tuple[Check, ...] = ()
    events: tuple[Event, ...] = ()
    processes: Maybe[Processes] = NOT_READ
    jobs: tuple[Job, ...] = ()
    activity: tuple[Activity, ...] = ()
    """Activity of the jobs that use NVLink, and of GPUs that work together without a known job."""
    judgements: tuple[Judgement, ...] = ()
    """Whether NVLink limits each job, and each GPU without a job."""
    at_limit_s: tuple[tuple[str, float], ...] = ()
    """UUID of each GPU with the seconds since the start in which its links were at their limit."""
    sequence: int = 0
    """Number of frames with new link rates so far; a time series adds one value for each."""
    pending: tuple[Pending, ...] = ()
    """Conditions whose delay has not passed, the worst first."""
    incidents: tuple[Incident, ...] = ()
    """Faults of the logs and of NVML that belong together, the newest first."""
    culprits: tuple[Culprit, ...] = ()
    """GPUs that began a fault which other GPUs report as well."""
    timeline: tuple[TimelineEvent, ...] = ()
    """What happened, the oldest first; it includes `events`, and the events of `incidents`."""
    log_access: str = ""
    """Why the kernel log is not read, and what to do; empty while it is read or was not tried yet."""
    fabric_log: FabricLog = field(default_factory=FabricLog)

    @property
    def interval_s(self) -> float:
        """The effective interval of the link counters in seconds; longer than requested if reads are slow."""
        return self.cost.effective_interval_s(self.tick.interval_s)


Show = Callable[[Frame, "list[str] | None"], None]
"""Receives each frame and the UUIDs of the GPUs to show, or None for all."""
