"""The items that flow from the worker to the monitor, and the frame that the monitor returns.

They are frozen dataclasses without behaviour beyond their invariants. Of the other modules of nvltop this
package imports only `frozen`.
"""

import importlib
from typing import TYPE_CHECKING, Final

from nvltop.model.event import Event, Listening
from nvltop.model.inventory import C2c, Gpu, Inventory, Pair, Problem, Remote, RemoteKind
from nvltop.model.job import Ancestor, GpuUse, Job, Process, Processes
from nvltop.model.kernel_log import (
    BLAMES,
    LOG_ACCESS,
    LOG_KINDS,
    LOG_SOURCES,
    SURENESS,
    Culprit,
    FabricLog,
    Incident,
    LogEvent,
    LogFault,
    LogLine,
    Origin,
)
from nvltop.model.link_counters import Counter, LinkCounters, Scope, split_tx_rx
from nvltop.model.missing import (
    GPU_IS_LOST,
    NOT_LISTED,
    NOT_READ,
    NOT_SUPPORTED,
    Maybe,
    Missing,
    first_missing,
    known,
    or_none,
    total,
)
from nvltop.model.nic import LPF, NO_FIRMWARE, NO_NODE, Nic, NicPort, NicPorts, PciLocation
from nvltop.model.reading import (
    GROUPS,
    PCIE_SAMPLE_S,
    PCIE_SAMPLED,
    C2cTraffic,
    Call,
    ComputeActivity,
    Cost,
    CounterRefresh,
    Data,
    Fabric,
    Gauges,
    GpuInterval,
    Host,
    LinkBer,
    LinkErrors,
    LinkState,
    LinkStates,
    PcieTraffic,
    Reading,
    Tick,
)
from nvltop.model.severity import Severity
from nvltop.model.source import Item, ItemSource, RecordedSource, time_of

if TYPE_CHECKING:
    from nvltop.model.activity import Activity, Judgement, Limit, Overlap, Rank, StepPeriod, Straggler
    from nvltop.model.finding import MAX_HEADLINE, Check, Finding, FindingKey, Pending, finding_key
    from nvltop.model.frame import (
        ErrorCount,
        Frame,
        GpuFrame,
        Link,
        LinkSpan,
        Matrix,
        NicFrame,
        NicSpan,
        NvLink,
        Show,
        Throttling,
        Verdict,
    )
    from nvltop.model.timeline import TIMELINE_KINDS, TimelineEvent

__all__ = [
    "BLAMES",
    "GPU_IS_LOST",
    "GROUPS",
    "LOG_ACCESS",
    "LOG_KINDS",
    "LOG_SOURCES",
    "LPF",
    "MAX_HEADLINE",
    "NOT_LISTED",
    "NOT_READ",
    "NOT_SUPPORTED",
    "NO_FIRMWARE",
    "NO_NODE",
    "PCIE_SAMPLED",
    "PCIE_SAMPLE_S",
    "SURENESS",
    "TIMELINE_KINDS",
    "Activity",
    "Ancestor",
    "C2c",
    "C2cTraffic",
    "Call",
    "Check",
    "ComputeActivity",
    "Cost",
    "Counter",
    "CounterRefresh",
    "Culprit",
    "Data",
    "ErrorCount",
    "Event",
    "Fabric",
    "FabricLog",
    "Finding",
    "FindingKey",
    "Frame",
    "Gauges",
    "Gpu",
    "GpuFrame",
    "GpuInterval",
    "GpuUse",
    "Host",
    "Incident",
    "Inventory",
    "Item",
    "ItemSource",
    "Job",
    "Judgement",
    "Limit",
    "Link",
    "LinkBer",
    "LinkCounters",
    "LinkErrors",
    "LinkSpan",
    "LinkState",
    "LinkStates",
    "Listening",
    "LogEvent",
    "LogFault",
    "LogLine",
    "Matrix",
    "Maybe",
    "Missing",
    "Nic",
    "NicFrame",
    "NicPort",
    "NicPorts",
    "NicSpan",
    "NvLink",
    "Origin",
    "Overlap",
    "Pair",
    "PciLocation",
    "PcieTraffic",
    "Pending",
    "Problem",
    "Process",
    "Processes",
    "Rank",
    "Reading",
    "RecordedSource",
    "Remote",
    "RemoteKind",
    "Scope",
    "Severity",
    "Show",
    "StepPeriod",
    "Straggler",
    "Throttling",
    "Tick",
    "TimelineEvent",
    "Verdict",
    "finding_key",
    "first_missing",
    "known",
    "or_none",
    "split_tx_rx",
    "time_of",
    "total",
]

PARTS_OF_FRAMES: Final = ("activity", "finding", "frame", "timeline")
"""Modules that are imported when one of their names is first used: the reading process uses none of them."""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        for part in PARTS_OF_FRAMES if name in __all__ else ():
            module = importlib.import_module(f"{__name__}.{part}")
            if hasattr(module, name):
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
