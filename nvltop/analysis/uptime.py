"""Since when the counters of a GPU count: since the driver initialised the GPU.

Drivers from R620 on report that time (`nvmlDeviceGetGpuUptime_v1`). For older drivers, it is the time at
which the driver was loaded, but only in persistence mode: otherwise the driver initialises a GPU each time
that a first program uses it, at a time that nothing reports.
"""

from __future__ import annotations

from typing import Final

from nvltop.model import ErrorCount, Gpu, Inventory, Maybe, Missing, Tick, known

RESET_TOLERANCE_S: Final = 5.0
"""Difference in seconds above which a later time of initialisation means that there was another one."""
DAY_S: Final = 86400.0
MIN_RATE_S: Final = 3600.0
"""Time in seconds below which a count is not extrapolated to a day."""
TOO_SHORT: Final = Missing("counted for less than an hour")
NO_PERSISTENCE: Final = Missing(
    "persistence mode is off: the driver initialises the GPU each time that a first program uses it"
)


def uptime_s(gpu: Gpu, initialised_s: Maybe[float], inventory: Inventory, tick: Tick) -> Maybe[float]:
    """Return the seconds since the driver initialised a GPU, at a tick.

    `initialised_s` is CLOCK_MONOTONIC of that moment as the driver reports it, if it does.
    """
    if known(initialised_s):
        return max(0.0, tick.mono_s - initialised_s)
    loaded_s = inventory.driver_loaded_s
    if isinstance(loaded_s, Missing):
        return loaded_s
    if isinstance(gpu.persistence, Missing):
        return Missing(f"persistence mode is unknown: {gpu.persistence.reason}")
    return max(0.0, tick.wall_s - loaded_s) if gpu.persistence else NO_PERSISTENCE


def initialised_again(before_s: Maybe[float], now_s: Maybe[float]) -> bool:
    """Return whether two times of initialisation show that there was another one between them."""
    return known(before_s) and known(now_s) and now_s > before_s + RESET_TOLERANCE_S


def counted_s(error: ErrorCount, gpu_uptime_s: Maybe[float]) -> Maybe[float]:
    """Return over how many seconds the total of an error counter accumulated; missing with the total."""
    if isinstance(error.total, Missing):
        return error.total
    if error.reset_s is None:
        return gpu_uptime_s
    return min(error.reset_s, gpu_uptime_s) if known(gpu_uptime_s) else error.reset_s


def per_day(error: ErrorCount, gpu_uptime_s: Maybe[float]) -> Maybe[float]:
    """Return the mean number of errors a day over the time in which the total accumulated."""
    if isinstance(error.total, Missing):
        return error.total
    over_s = counted_s(error, gpu_uptime_s)
    if isinstance(over_s, Missing):
        return over_s
    return error.total / over_s * DAY_S if over_s >= MIN_RATE_S else TOO_SHORT
