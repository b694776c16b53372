"""The rates that a job reaches, in GB/s and as the bus bandwidth of nccl-tests."""

from __future__ import annotations

from typing import NamedTuple

from nvltop.analysis.verdict_text import one_way_phrase, place_phrase
from nvltop.model import Judgement, Maybe, Missing, known


class BusBandwidth(NamedTuple):
    """The bus bandwidth that nccl-tests would report for an all-reduce with the observed traffic, in bytes/s.

    A ring moves the bus bandwidth itself over the links of each GPU. With NVLS the switches add up the data:
    each GPU moves (n + 1) / n of the data instead of 2 (n - 1) / n. The same traffic is then that of an
    all-reduce that is 2 (n - 1) / (n + 1) times as fast (1.56 for 8 GPUs). The counters do not show which of
    the two it is.
    """

    ring: float
    """Bus bandwidth if the all-reduce is a ring."""
    nvls: float | None
    """Bus bandwidth if NVLS is used; None on boards without NVLS, and for fewer than three GPUs."""


def bus_bandwidth(j: Judgement) -> Maybe[BusBandwidth]:
    """Return the bus bandwidth of a job while its GPUs communicate."""
    rate, n = j.gpu_bytes_per_s, len(j.gpus)
    if isinstance(rate, Missing):
        return rate
    if n < 2 or not rate:
        return Missing("no exchange between GPUs of this node is seen")
    if j.direction != "both":
        return Missing("the traffic goes one way, as no all-reduce does")
    if j.gpu:
        return Missing("its GPUs move different amounts of data, as in no all-reduce")
    return BusBandwidth(rate, rate * 2 * (n - 1) / (n + 1) if j.nvls_capable and n > 2 else None)


def reached_rate(j: Judgement) -> str:
    """Return `342 of 357 GB/s a GPU (busbw 342 if ring, 532 if NVLS all-reduce)`; empty if unknown."""
    busbw, most, place = bus_bandwidth(j), j.practical_bytes_per_s, place_phrase(j)
    if isinstance(j.reached_bytes_per_s, Missing) or not j.reached_bytes_per_s:
        return ""
    of = f" of {gigabytes(most)}" if known(most) else ""
    text = f"{gigabytes(j.reached_bytes_per_s)}{of} GB/s {f'on {place}' if place else 'a GPU'}"
    if isinstance(busbw, Missing):
        return text if j.direction == "both" else f"{text}, {one_way_phrase(j)}"
    nvls = f", {gigabytes(busbw.nvls)} if NVLS" if busbw.nvls else ""
    whole = f", {gigabytes(busbw.ring)} a GPU" if place else ""
    return f"{text}{whole} (busbw {gigabytes(busbw.ring)} if ring{nvls} all-reduce)"


def gigabytes(value: float) -> str:
    """Format bytes as gigabytes without the unit, with three significant digits or all before the point."""
    return f"{value / 1e9:.0f}" if value >= 99.5e9 else f"{value / 1e9:.3g}"
