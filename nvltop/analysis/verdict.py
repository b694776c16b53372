"""The one line that answers "is NVLink working, and is it my bottleneck?", as far as rates can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.model import NOT_READ, GpuFrame, Inventory, Maybe, Missing, NvLink, Tick, Verdict, known
from nvltop.units import age

CEILINGS: Final = {
    "2.0": 20.0 / 25.781,
    "3.0": 20.0 / 25.0,
    "3.1": 12.0 / 14.0625,
    "4.0": 20.6 / 26.562,
    "5.0": 40.1 / 53.125,
}
"""What NCCL reaches of NVML's speed per link, by generation (nccl src/graph/topo.h; GB/s over GB/s)."""

NEAR: Final = 0.95
"""Share of the ceiling from which NVLink counts as the limit."""
SUSTAINED_S: Final = 8.0
"""A burst at the limit is what NVLink is for; only a lasting one makes it the bottleneck."""
IDLE: Final = 0.002
"""Share of the speed below which links count as idle."""
BUSY_PERCENT: Final = 50.0
PCIE_BUSY: Final = 0.20
"""Share of the PCIe link's rate from which PCIe counts as carrying the traffic."""
PCIE_LANE: Final = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes/s of one lane by generation, after line coding."""
VERDICT_IDS: Final = (
    "starting",
    "no-gpu",
    "degraded",
    "unknown",
    "silent",
    "saturated",
    "partly",
    "unclear",
    "carrying",
    "pcie",
    "busy-no-traffic",
    "idle",
    "mig",
    "no-nvlink",
    "no-link-up",
)
"""Every id that a verdict can have."""


def ceiling(generation: Maybe[str]) -> Maybe[float]:
    """Return the share of the speed that NCCL reaches on this generation of NVLink."""
    if isinstance(generation, Missing):
        return generation
    return CEILINGS.get(generation) or Missing(f"no figure published for NVLink {generation}")


def share(nvlink: NvLink) -> Maybe[float]:
    """Return the busier direction's rate over the speed of the GPU's up links."""
    return share_of(nvlink.tx_bytes_per_s, nvlink.rx_bytes_per_s, nvlink.speed_bytes_per_s)


def mean_share(nvlink: NvLink) -> Maybe[float]:
    """Return the busier direction's mean rate over the speed of the GPU's up links."""
    return share_of(nvlink.mean_tx_bytes_per_s, nvlink.mean_rx_bytes_per_s, nvlink.speed_bytes_per_s)


def share_of(tx: Maybe[float], rx: Maybe[float], speed: Maybe[float]) -> Maybe[float]:
    """Return the busier direction's share of a speed, all in bytes/s."""
    rates = [r for r in (tx, rx) if known(r)]
    if not rates:
        return tx
    if isinstance(speed, Missing):
        return speed
    return max(rates) / speed if speed else Missing("no link is up")


def pcie_speed(gpu: GpuFrame) -> float:
    """Return the bytes/s that the GPU's PCIe link can carry a direction now; 0 if unknown."""
    gen, width = gpu.gauges.pcie_gen, gpu.gauges.pcie_width
    if isinstance(gen, Missing) or isinstance(width, Missing):
        return 0.0
    return PCIE_LANE.get(gen, 0.0) * width


def pcie_share(gpu: GpuFrame) -> float:
    """Return the busier PCIe direction over what the link can carry now; 0 if unknown."""
    rates = [r for r in (gpu.pcie.tx_bytes_per_s, gpu.pcie.rx_bytes_per_s) if known(r)]
    speed = pcie_speed(gpu)
    return max(rates) / speed if rates and speed else 0.0


def verdict(inventory: Inventory, gpus: Sequence[GpuFrame], tick: Tick) -> Verdict:
    """Judge the node as it is now."""
    if inventory.problem:
        return Verdict("no-gpu", inventory.problem.summary)
    if not gpus and tick.worker == "ended":
        return Verdict("unknown", "Cannot tell: nvltop's reading process has ended")
    if not gpus:
        return Verdict("starting", "Reading the GPUs for the first time")
    fresh = [g for g in gpus if not g.stale]
    if not fresh:
        # Old numbers make no verdict.
        unread_s = min(min(g.age_s.values()) for g in gpus)
        return Verdict("unknown", f"Cannot tell: nothing has been read for {age(unread_s)}")
    gpus = fresh
    linked = [g for g in gpus if known(g.nvlink.links_up) and g.nvlink.links_up > 0]
    if not linked:
        return _without_links(gpus)
    shares = [(s, g) for g in linked if known(s := g.nvlink.recent_share)]
    if not shares:
        why = next((s for g in linked if isinstance(s := share(g.nvlink), Missing)), NOT_READ)
        if why.reason == "needs a second reading":
            return Verdict("starting", "Measuring: a rate needs two readings")
        return Verdict("unknown", f"Cannot tell: NVLink traffic unknown ({why.reason})")
    top, gpu = max(shares, key=lambda pair: pair[0])
    busy = [g for g in gpus if known(g.gauges.util_percent) and g.gauges.util_percent >= BUSY_PERCENT]
    where = f"GPU {gpu.gpu.index}"
    if top >= IDLE:
        limit = gpu.nvlink.ceiling
        if known(limit) and top >= NEAR * limit:
            if gpu.nvlink.recent_s >= SUSTAINED_S:
                return Verdict("saturated", f"NVLink is the bottleneck: {where} at {top:.0%} of speed")
            return Verdict("carrying", f"NVLink near its limit for now: {where} at {top:.0%} of speed")
        if known(limit):
            return Verdict("carrying", f"NVLink works, no bottleneck: {where} at {top:.0%} of speed")
        return Verdict("carrying", f"NVLink carries traffic: {where} at {top:.0%} of speed")
    over_pcie = [g for g in busy if pcie_share(g) >= PCIE_BUSY]
    if len(over_pcie) > 1:
        return Verdict("pcie", "GPUs are busy; their traffic goes over PCIe, not NVLink")
    if len(busy) > 1:
        return Verdict("busy-no-traffic", "GPUs are busy, NVLink carries nothing now")
    if busy:
        return Verdict("busy-no-traffic", "One GPU is busy, NVLink carries nothing now")
    return Verdict("idle", "Idle: GPUs and NVLink carry next to nothing")


def _without_links(gpus: Sequence[GpuFrame]) -> Verdict:
    if any(g.gpu.mig is True for g in gpus):
        return Verdict("mig", "MIG is on: no NVLink between GPUs, by design")
    if all(known(g.gpu.name) and "GB10" in g.gpu.name for g in gpus):
        return Verdict("no-nvlink", "GB10: one chip, one pool of memory, nothing to link")
    counts = [g.nvlink.links_present for g in gpus]
    if all(known(c) and c == 0 for c in counts):
        if len(gpus) == 1:
            return Verdict("no-nvlink", "No NVLink: this GPU talks over PCIe")
        return Verdict("no-nvlink", "No NVLink: these GPUs talk over PCIe")
    unread = [c for c in counts if isinstance(c, Missing)]
    if unread:
        return Verdict("unknown", f"Cannot tell: links unknown ({unread[0].reason})")
    ups = [g.nvlink.links_up for g in gpus]
    missing = [u for u in ups if isinstance(u, Missing)]
    if missing:
        return Verdict("unknown", f"Cannot tell: link states unknown ({missing[0].reason})")
    return Verdict("no-link-up", "No NVLink is up: not connected, or down")
