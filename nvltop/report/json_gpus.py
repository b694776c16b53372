"""Groups of values of a GPU in the JSON report, and the times to which such values belong."""

from __future__ import annotations

from typing import Any

from nvltop.model import (
    NOT_READ,
    PCIE_SAMPLE_S,
    PCIE_SAMPLED,
    Fabric,
    GpuFrame,
    Maybe,
    Throttling,
    first_missing,
    known,
)
from nvltop.report.json_values import as_object


def length(span_s: tuple[float, float] | None) -> Maybe[float]:
    """Return the length of a span in seconds; missing for an empty one."""
    return round(span_s[1] - span_s[0], 6) if span_s and span_s[1] > span_s[0] else NOT_READ


def window(over_s: Maybe[float], *values: Maybe[object]) -> Maybe[float]:
    """Return the seconds that belong to values; missing as the values are if none of them could be read."""
    return over_s if any(map(known, values)) else first_missing(values) or over_s


def pcie(g: GpuFrame) -> dict[str, Any]:
    """Return the PCIe link of a GPU, its rates, and the time over which they were measured."""
    rates = g.pcie.tx_bytes_per_s, g.pcie.rx_bytes_per_s
    over_s = PCIE_SAMPLE_S if g.pcie.source == PCIE_SAMPLED else length(g.pcie_span_s)
    return as_object(
        gen=g.gauges.pcie_gen,
        gen_max=g.gpu.pcie_gen_max,
        width=g.gauges.pcie_width,
        width_max=g.gpu.pcie_width_max,
        tx_bytes_per_s=rates[0],
        rx_bytes_per_s=rates[1],
        source=g.pcie.source or None,
        rates_over_s=window(over_s, *rates),
    )


def throttling(shares: Throttling) -> dict[str, Any]:
    """Return in which share of a time the clocks were throttled."""
    found = {
        "power_cap_share": shares.power_cap,
        "sw_thermal_share": shares.sw_thermal,
        "hw_thermal_share": shares.hw_thermal,
        "power_brake_share": shares.power_brake,
    }
    return as_object(over_s=window(shares.over_s, *found.values()), **found)


def compute(g: GpuFrame) -> dict[str, Any]:
    """Return the mean activity of a GPU."""
    of = g.compute
    found = {
        "sm_share": of.sm,
        "tensor_share": of.tensor,
        "dram_share": of.dram,
        "power_w": of.power_w,
    }
    return as_object(
        **found,
        source=of.source or None,
        over_s=window(length(g.compute_span_s), *found.values()),
        **({"note": of.note} if of.note else {}),
    )


def c2c_errors(fabric: Fabric) -> dict[str, Maybe[object]]:
    """Return the error counters of the links to the CPU, and their power state."""
    return {
        "crc_errors": fabric.c2c_crc_errors,
        "replays": fabric.c2c_replays,
        "back_to_back_replays": fabric.c2c_back_to_back_replays,
        "power_state": fabric.c2c_power_state,
    }
