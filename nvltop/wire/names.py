"""The names that classes and fields have in recordings, which do not follow renames in the code.

A recording of schema 2 declares the fields of every class by name, in the order in which it writes them. A
reader matches them by name: it skips names that it does not know, and fills in what is absent. Rules for
changes are in nvltop/docs/recordings.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nvltop.frozen import fields_of
from nvltop.model import (
    GROUPS,
    Ancestor,
    C2c,
    Call,
    Event,
    Gpu,
    GpuInterval,
    GpuUse,
    Inventory,
    LogLine,
    Nic,
    NicPort,
    Pair,
    PciLocation,
    Problem,
    Process,
    Reading,
    Remote,
    Tick,
)

Names = Mapping[str, tuple[str, ...]]
"""Names of the fields, in the order in which they are written, by name of the class."""

TAGS: Final[dict[str, type]] = {"i": Inventory, "r": Reading, "e": Event, "l": LogLine, "t": Tick}
"""The kinds of items, by the first entry of a line. A new kind has `mono_s` and `wall_s` as its first fields,
a tag here and a name in `CLASSES`."""
LISTENING: Final = "listening"
"""Kind of the event that `Listening` is encoded as, with the number of GPUs as its code."""
CLASSES: Final[dict[type, str]] = {
    Inventory: "inventory",
    Reading: "reading",
    Event: "event",
    Tick: "tick",
    LogLine: "log-line",
    Gpu: "gpu",
    Remote: "remote",
    C2c: "c2c-link",
    Pair: "pair",
    Problem: "problem",
    Nic: "nic",
    PciLocation: "place",
    NicPort: "nic-port",
    Process: "process",
    Ancestor: "ancestor",
    GpuUse: "gpu-use",
    GpuInterval: "gpu-interval",
    Call: "call",
    **GROUPS,
}
"""Name of each class in recordings; a group of values is called as in `GROUPS`. Never change a name."""
RENAMED: Final = {"inventory": {"gpu_locations": "gpu_places"}, "nic": {"location": "place"}}
"""Fields whose name has changed in the code: by class, the new name and the name in recordings."""

SCHEMA_1: Final[Names] = {
    "inventory": (
        "mono_s", "wall_s", "driver_version", "nvml_version", "cuda_driver_version", "hostname", "gpus",
        "pairs", "problem", "pci_gpus", "container", "booted_s", "nics", "gpu_places", "demo",
        "driver_loaded_s", "wsl",
    ),
    "reading": ("gpu", "start_s", "end_s", "wall_s", "data", "problem"),
    "event": ("mono_s", "wall_s", "gpu", "kind", "code"),
    "tick": ("mono_s", "wall_s", "interval_s", "worker", "calls", "note"),
    "gpu": (
        "index", "uuid", "name", "pci_bus_id", "architecture", "numa_node", "cpu_affinity", "module_id",
        "minor", "virtualization", "mig", "persistence", "power_limit_w", "pcie_gen_max", "pcie_width_max",
        "nvlink_generation", "switch_links", "remotes", "c2c", "problem", "numa_affinity", "numa_id",
    ),
    "remote": ("kind", "pci_bus_id", "gpu", "link"),
    "c2c-link": ("links", "links_up", "speed_bytes_per_s"),
    "pair": ("a", "b", "pcie", "p2p_nvlink"),
    "problem": ("id", "summary", "next_step"),
    "nic": ("device", "rdma", "place", "model", "virtual", "bond", "interfaces", "role"),
    "place": ("pci_bus_id", "bridges", "numa_node", "port_width", "port_gen"),
    "nic-port": (
        "device", "port", "link_layer", "state", "physical", "rate_bytes_per_s", "tx_bytes", "rx_bytes",
        "ip_tx_bytes", "ip_rx_bytes", "errors",
    ),
    "process": (
        "pid", "uses", "executable", "user", "arguments", "cpu_percent", "memory_bytes", "started_s",
        "ancestors", "group_kind", "group_id", "session", "start_ticks",
    ),
    "ancestor": ("pid", "name", "interpreter"),
    "gpu-use": ("gpu", "kind", "memory_bytes", "sm_percent"),
    "gpu-interval": ("gpu", "interval_s"),
    "call": ("thread", "function", "gpu", "since_s"),
    "log-line": (
        "mono_s", "wall_s", "source", "text", "logged_s", "uptime_s", "level", "boot_s",
    ),
    "links": ("counter", "scope", "tx_bytes", "rx_bytes", "stamp_us"),
    "states": ("states", "speed_bytes_per_s"),
    "errors": ("counts",),
    "gauges": (
        "util_percent", "memory_used_bytes", "memory_total_bytes", "power_w", "temperature_c",
        "sm_clock_mhz", "pstate", "event_reasons", "pcie_gen", "pcie_width", "power_cap_s", "sw_thermal_s",
        "hw_thermal_s", "power_brake_s",
    ),
    "pcie": ("tx_bytes_per_s", "rx_bytes_per_s", "source"),
    "c2c": ("tx_bytes_per_s", "rx_bytes_per_s"),
    "fabric": (
        "state", "status", "health_mask", "health_summary", "clique_id", "cluster_uuid", "recovery_action",
        "bandwidth_mode", "remap_pending", "remap_failed", "remapped_rows",
    ),
    "host": ("cpu_percent", "memory_used_bytes", "memory_total_bytes"),
    "cost": (
        "calls_per_s", "driver_s_per_s", "interval_s", "sweep_s", "cpu_s_per_s", "other_intervals",
    ),
    "ber": ("effective",),
    "processes": ("processes", "hidden", "hidden_reason", "unread"),
    "nics": ("ports",),
    "compute": ("sm", "tensor", "dram", "power_w", "source", "note"),
    "refresh": (
        "shortest_s", "typical_s", "longest_s", "regular", "error_s", "after_s", "until_s", "calls",
    ),
}  # fmt: skip
"""Order of the fields in recordings of schema 1, which do not declare it."""
SCHEMA_1_MINIMUM: Final = {
    "inventory": 15, "gpu": 22, "remote": 4, "c2c-link": 3, "pair": 4, "problem": 3, "nic": 7, "place": 3,
    "reading": 6, "links": 5, "states": 2, "errors": 1, "ber": 1, "gauges": 10, "pcie": 3, "c2c": 2,
    "fabric": 11, "host": 3, "cost": 5, "event": 5, "tick": 6, "call": 4, "processes": 4, "process": 11,
    "ancestor": 2, "gpu-use": 4, "nics": 1, "nic-port": 11,
}  # fmt: skip
"""Number of fields of each class in version 0.1.0; later versions of schema 1 appended fields."""
SCHEMA_1_GROUPS: Final = (
    "links", "states", "errors", "gauges", "pcie", "c2c", "fabric", "host", "cost", "ber", "processes",
    "nics", "compute", "refresh",
)  # fmt: skip
"""Order of the groups in recordings of schema 1."""


def wire_names(cls: type) -> tuple[str, ...]:
    """Return the names in recordings of the fields of a class."""
    renamed: Mapping[str, str] = RENAMED.get(CLASSES[cls], {})
    return tuple(renamed.get(name, name) for name in fields_of(cls))


CURRENT: Final[Names] = {name: wire_names(cls) for cls, name in CLASSES.items()}
"""The fields that this version writes, in its order."""
CURRENT_GROUPS: Final = tuple(GROUPS.values())
"""The groups that this version writes, in the order of their numbers."""
HEADER: Final[dict[str, object]] = {
    "items": {tag: CLASSES[cls] for tag, cls in TAGS.items()},
    "groups": list(CURRENT_GROUPS),
    "fields": {name: list(names) for name, names in CURRENT.items()},
}
"""The part of the header of a recording that declares its names."""
