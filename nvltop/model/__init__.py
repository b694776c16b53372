"""The items that flow from the worker to the monitor, and the frame that comes out.

Frozen dataclasses without behaviour beyond their invariants. Imports nothing of nvltop.
"""

from nvltop.model.frame import (
    Check,
    ErrorCount,
    Finding,
    Frame,
    GpuFrame,
    Link,
    Matrix,
    NvLink,
    Verdict,
)
from nvltop.model.inventory import C2c, Gpu, Inventory, Pair, Problem, Remote, RemoteKind
from nvltop.model.missing import GPU_IS_LOST, NOT_READ, NOT_SUPPORTED, Maybe, Missing, known, or_none
from nvltop.model.reading import (
    GROUPS,
    C2cTraffic,
    Call,
    Cost,
    Counter,
    Data,
    Event,
    Fabric,
    Gauges,
    Host,
    LinkCounters,
    LinkErrors,
    LinkState,
    LinkStates,
    PcieTraffic,
    Reading,
    Scope,
    Tick,
)

Item = Inventory | Reading | Event | Tick
"""What flows from the sampler, live or recorded, to the monitor."""

__all__ = [
    "GPU_IS_LOST",
    "GROUPS",
    "NOT_READ",
    "NOT_SUPPORTED",
    "C2c",
    "C2cTraffic",
    "Call",
    "Check",
    "Cost",
    "Counter",
    "Data",
    "ErrorCount",
    "Event",
    "Fabric",
    "Finding",
    "Frame",
    "Gauges",
    "Gpu",
    "GpuFrame",
    "Host",
    "Inventory",
    "Item",
    "Link",
    "LinkCounters",
    "LinkErrors",
    "LinkState",
    "LinkStates",
    "Matrix",
    "Maybe",
    "Missing",
    "NvLink",
    "Pair",
    "PcieTraffic",
    "Problem",
    "Reading",
    "Remote",
    "RemoteKind",
    "Scope",
    "Tick",
    "Verdict",
    "known",
    "or_none",
]
