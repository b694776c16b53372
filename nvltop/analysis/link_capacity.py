"""What NVLink and PCIe links can carry, and the share of it that they carry now."""

from __future__ import annotations

from typing import Final

from nvltop.model import GpuFrame, Maybe, Missing, NvLink, known

CEILINGS: Final = {
    "2.0": 20.0 / 25.781,
    "3.0": 20.0 / 25.0,
    "3.1": 12.0 / 14.0625,
    "4.0": 20.6 / 26.562,
    "5.0": 40.1 / 53.125,
}
"""Rate that NCCL reaches over NVML's speed per link, by generation (nccl src/graph/topo.h; both in GB/s)."""
NO_LINK_UP: Final = Missing("no link is up")
NO_TRAFFIC_SHARE: Final = 0.01
"""Share of its speed below which an NVLink or PCIe link counts as carrying no traffic."""
PCIE_BUSY_SHARE: Final = 0.20
"""Share of the PCIe link's speed above which PCIe carries the traffic of a job."""
PCIE_LANE_BYTES_PER_S: Final = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes/s of one PCIe lane by generation, after line coding."""


def ceiling(generation: Maybe[str]) -> Maybe[float]:
    """Return the share of the speed that NCCL reaches on this generation of NVLink."""
    if isinstance(generation, Missing):
        return generation
    return CEILINGS.get(generation) or Missing(f"no figure published for NVLink {generation}")


def practical_max(speed: Maybe[float], ceiling: Maybe[float]) -> Maybe[float]:
    """Return what NCCL reaches on links of this speed in bytes/s; the speed itself if that is not known."""
    return speed * ceiling if known(speed) and known(ceiling) else speed


def mean_link_share(nvlink: NvLink) -> Maybe[float]:
    """Return the busier direction's mean rate over the speed of the GPU's active links."""
    return busier_share(nvlink.mean_tx_bytes_per_s, nvlink.mean_rx_bytes_per_s, nvlink.speed_bytes_per_s)


def busier_share(tx: Maybe[float], rx: Maybe[float], speed: Maybe[float]) -> Maybe[float]:
    """Return the busier direction's share of a speed, all in bytes/s."""
    if isinstance(tx, Missing):
        tx, rx = rx, tx
    if isinstance(tx, Missing):
        return rx
    if isinstance(speed, Missing):
        return speed
    most = rx if not isinstance(rx, Missing) and rx > tx else tx
    return most / speed if speed else NO_LINK_UP


def pcie_speed(gpu: GpuFrame) -> float:
    """Return the current speed of the GPU's PCIe link in bytes/s per direction; 0 if unknown."""
    gen, width = gpu.gauges.pcie_gen, gpu.gauges.pcie_width
    if isinstance(gen, Missing) or isinstance(width, Missing):
        return 0.0
    return PCIE_LANE_BYTES_PER_S.get(gen, 0.0) * width


def pcie_limit(gpu: GpuFrame) -> Maybe[float]:
    """Return the speed of the GPU's PCIe link at its highest generation and width, bytes/s per direction."""
    gen, width = gpu.gpu.pcie_gen_max, gpu.gpu.pcie_width_max
    if isinstance(gen, Missing):
        return gen
    return width if isinstance(width, Missing) else PCIE_LANE_BYTES_PER_S.get(gen, 0.0) * width


def pcie_share(gpu: GpuFrame) -> float:
    """Return the busier PCIe direction's rate over the current speed of the link; 0 if unknown."""
    share = busier_share(gpu.pcie.tx_bytes_per_s, gpu.pcie.rx_bytes_per_s, pcie_speed(gpu))
    return 0.0 if isinstance(share, Missing) else share
