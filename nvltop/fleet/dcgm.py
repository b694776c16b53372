"""PromQL for the metrics of dcgm-exporter, by GPU: the old names, and those since 4.9.0.

| value | up to 4.8 | since 4.9.0 |
|---|---|---|
| both directions together | `..._NVLINK_BANDWIDTH_TOTAL`: MB/s | `..._NVLINK_THROUGHPUT_BYTES_PER_SECOND` |
| one direction, if configured | `DCGM_FI_PROF_NVLINK_TX_BYTES`: bytes/s in spite of its name | the same |
| label of the host | `Hostname` (`hostname` since 4.8.3) | `hostname` |

DCGM 4.7 calls the first field `..._NVLINK_THROUGHPUT_TOTAL`; a collector file may export it by that name.
Sources: DCGM 4.7 field identifiers, dcgm-exporter's etc/default-counters.csv and its issue 417.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

MB_IN_BYTES: Final = 1_024_000
"""Bytes of one "MB" in the old field: DCGM divides NVML's KiB by 1000."""
BOTH_BYTES: Final = ("DCGM_FI_DEV_NVLINK_THROUGHPUT_BYTES_PER_SECOND",)
BOTH_MB: Final = ("DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", "DCGM_FI_DEV_NVLINK_THROUGHPUT_TOTAL")
TX: Final = ("DCGM_FI_PROF_NVLINK_TX_BYTES", "DCGM_FI_PROF_NVLINK_TX_BYTES_PER_SECOND")
RX: Final = ("DCGM_FI_PROF_NVLINK_RX_BYTES", "DCGM_FI_PROF_NVLINK_RX_BYTES_PER_SECOND")
TEMPERATURE: Final = ("DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_GPU_TEMP_CELSIUS")
POWER: Final = ("DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_BOARD_POWER_WATTS")
XID: Final = ("DCGM_FI_DEV_XID_ERRORS", "DCGM_FI_DEV_XID_ERROR")
METRICS: Final = (*TEMPERATURE, *BOTH_BYTES, *BOTH_MB, *TX, *RX, *POWER)
"""Metrics that show that dcgm-exporter is scraped, the best for the presence of a node first."""

Select: TypeAlias = "Callable[[str], str]"


def _any(names: Sequence[str], sel: Select) -> str:
    return "(" + " or ".join(sel(name) for name in names) + ")"


def _both(gpu: str, sel: Select) -> str:
    new, old = _any(BOTH_BYTES, sel), _any(BOTH_MB, sel)
    return f"(max by ({gpu}) ({new}) or {MB_IN_BYTES} * max by ({gpu}) ({old}))"


def _directions(gpu: str, sel: Select) -> dict[str, str]:
    return {
        direction: f"max by ({gpu}) ({_any(names, sel)})" for direction, names in (("tx", TX), ("rx", RX))
    }


def nodes(node: str, gpu: str, sel: Select) -> dict[str, str]:
    """Return the values of each node: presence, GPUs, rates and how many GPUs are in them."""
    rates = _directions(gpu, sel)
    stamps = " or ".join(f"timestamp({sel(name)})" for name in METRICS)
    return {
        "scraped": f"max by ({node}) ({stamps})",
        "gpus": f"count by ({node}) (max by ({gpu}) ({_any(METRICS, sel)}))",
        # Its rates are its own, and do not need a window.
        "begun": f"max by ({node}) ({_any(METRICS, sel)})",
        "tx": f"sum by ({node}) ({rates['tx']})",
        "rx": f"sum by ({node}) ({rates['rx']})",
        "rated": f"count by ({node}) ({rates['tx']} and {rates['rx']})",
        "both": f"sum by ({node}) ({_both(gpu, sel)})",
        "both_read": f"count by ({node}) ({_both(gpu, sel)})",
        "xid": f"max by ({gpu}) ({_any(XID, sel)} > 0)",
    }


def gpus(gpu: str, sel: Select) -> dict[str, str]:
    """Return the values of each GPU."""
    return {
        **_directions(gpu, sel),
        "both": _both(gpu, sel),
        "temperature": f"max by ({gpu}) ({_any(TEMPERATURE, sel)})",
        "power": f"max by ({gpu}) ({_any(POWER, sel)})",
        "xid": f"max by ({gpu}) ({_any(XID, sel)} > 0)",
    }


def history(node: str, gpu: str, sel: Select) -> dict[str, str]:
    """Return the rates of each node for a range of time."""
    return {direction: f"sum by ({node}) ({text})" for direction, text in _directions(gpu, sel).items()}


def gpu_history(gpu: str, sel: Select) -> dict[str, str]:
    """Return the rates of each GPU for a range of time."""
    return _directions(gpu, sel)
