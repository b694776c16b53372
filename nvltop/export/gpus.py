"""What is exported of each GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nvltop.export.metric_set import Fresh, Info, Metric, Sheet, Value, gpu_labels
from nvltop.model import GpuFrame, Maybe, Missing


def _scaled(get: Callable[[GpuFrame], Maybe[float]], factor: float) -> Callable[[GpuFrame], Maybe[float]]:
    """Return what gives a value in Prometheus' base unit."""

    def scaled(gpu: GpuFrame) -> Maybe[float]:
        value = get(gpu)
        return value if isinstance(value, Missing) else value * factor

    return scaled


VALUES: Final[tuple[Value[GpuFrame], ...]] = (
    Value(
        Metric("nvlink_links", "NVLinks that the GPU has; 0 without NVLink."),
        lambda g: g.nvlink.links_present,
    ),
    Value(Metric("nvlink_links_active", "NVLinks that are trained."), lambda g: g.nvlink.links_up, "states"),
    Value(
        Metric("nvlink_speed_bytes_per_second", "What the active NVLinks can carry in one direction."),
        lambda g: g.nvlink.speed_bytes_per_s,
        "states",
    ),
    Value(
        Metric(
            "nvlink_used_ratio",
            "Mean over the last ten seconds of the busier direction over the speed of the active NVLinks.",
        ),
        lambda g: g.nvlink.recent_share,
        "links",
    ),
    Value(
        Metric("nvlink_ceiling_ratio", "Share of the speed that NCCL reaches in practice."),
        lambda g: g.nvlink.ceiling,
    ),
    Value(
        Metric("gpu_utilization_ratio", "Share of the time in which a kernel ran, as NVML says."),
        _scaled(lambda g: g.gauges.util_percent, 0.01),
        "gauges",
    ),
    Value(Metric("gpu_memory_used_bytes", "Memory in use."), lambda g: g.gauges.memory_used_bytes, "gauges"),
    Value(Metric("gpu_memory_size_bytes", "Memory of the GPU."), lambda g: g.gauges.memory_total_bytes),
    Value(Metric("gpu_power_watts", "Power drawn."), lambda g: g.gauges.power_w, "gauges"),
    Value(Metric("gpu_power_limit_watts", "Power limit in force."), lambda g: g.gpu.power_limit_w),
    Value(
        Metric("gpu_temperature_celsius", "Temperature of the GPU."),
        lambda g: g.gauges.temperature_c,
        "gauges",
    ),
    Value(
        Metric("gpu_sm_clock_hertz", "Clock of the multiprocessors."),
        _scaled(lambda g: g.gauges.sm_clock_mhz, 1e6),
        "gauges",
    ),
    Value(
        Metric("gpu_clocks_event_reasons", "NVML's bit mask of why clocks are as they are."),
        lambda g: g.gauges.event_reasons,
        "gauges",
    ),
    Value(Metric("pcie_generation", "PCIe generation now."), lambda g: g.gauges.pcie_gen, "gauges"),
    Value(Metric("pcie_generation_max", "PCIe generation that is possible."), lambda g: g.gpu.pcie_gen_max),
    Value(Metric("pcie_width", "PCIe lanes now."), lambda g: g.gauges.pcie_width, "gauges"),
    Value(Metric("pcie_width_max", "PCIe lanes that are possible."), lambda g: g.gpu.pcie_width_max),
    Value(
        Metric("pcie_transmit_bytes_per_second", "PCIe traffic out of the GPU, as the driver averages it."),
        lambda g: g.pcie.tx_bytes_per_s,
        "pcie",
    ),
    Value(
        Metric("pcie_receive_bytes_per_second", "PCIe traffic into the GPU, as the driver averages it."),
        lambda g: g.pcie.rx_bytes_per_s,
        "pcie",
    ),
    Value(Metric("c2c_links", "C2C links to a CPU."), lambda g: g.gpu.c2c.links),
    Value(Metric("c2c_links_active", "C2C links that are trained."), lambda g: g.gpu.c2c.links_up),
    Value(
        Metric("c2c_speed_bytes_per_second", "What the active C2C links can carry in one direction."),
        lambda g: g.gpu.c2c.speed_bytes_per_s,
    ),
    Value(
        Metric("c2c_transmit_bytes_per_second", "C2C traffic out of the GPU."),
        lambda g: g.c2c.tx_bytes_per_s,
        "c2c",
    ),
    Value(
        Metric("c2c_receive_bytes_per_second", "C2C traffic into the GPU."),
        lambda g: g.c2c.rx_bytes_per_s,
        "c2c",
    ),
    Value(
        Metric("fabric_health_mask", "NVML's mask of the NVLink fabric's health; see nvml.h."),
        lambda g: g.fabric.health_mask,
        "fabric",
    ),
    Value(
        Metric("gpu_recovery_action", "What the driver asks for (NVML field 230); 0 is nothing."),
        lambda g: g.fabric.recovery_action,
        "fabric",
    ),
    Value(
        Metric("gpu_remapped_rows", "Memory rows replaced for uncorrectable errors."),
        lambda g: g.fabric.remapped_rows,
        "fabric",
    ),
)
GPU: Final[Info[GpuFrame]] = Info(
    Metric("gpu", "What the GPU is; `counter` is what its traffic counters count.", "info"),
    lambda g: {
        "model": g.gpu.name,
        "architecture": g.gpu.architecture,
        "nvlink_generation": g.gpu.nvlink_generation,
        "counter": g.nvlink.counter,
        "mig": g.gpu.mig,
        "numa_node": g.gpu.numa_node,
        "module_id": g.gpu.module_id,
    },
)
FABRIC: Final[Info[GpuFrame]] = Info(
    Metric("fabric", "Membership of the NVLink fabric; absent where the GPU has none.", "info"),
    lambda g: {
        "state": g.fabric.state,
        "status": g.fabric.status,
        "health": g.fabric.health_summary,
        "cluster_uuid": g.fabric.cluster_uuid,
        "clique_id": g.fabric.clique_id,
    },
)
STATE: Final = Metric("gpu_state", "1 for the state of the GPU, 0 for all others.")
STATES: Final = ("ok", "lost", "unreadable")
AGE: Final = Metric("reading_age_seconds", "Time since a group of values was read.")


def add_gpu(sheet: Sheet, gpu: GpuFrame, late_s: float) -> None:
    """Add one GPU; its ages grow by how late the frame is looked at."""
    labels = gpu_labels(gpu)
    sheet.add_info(GPU, gpu, labels)
    sheet.add_state(STATE, labels, STATES, gpu.state)
    fresh = Fresh.gpu(gpu, late_s)
    sheet.add_values(VALUES, gpu, labels, fresh)
    state = fresh.of("fabric", gpu.fabric.state)
    if isinstance(state, Missing):
        sheet.add(FABRIC.metric, labels, state)
    else:
        sheet.add_info(FABRIC, gpu, labels)
    for group, age_s in gpu.age_s.items():
        sheet.add(AGE, {**labels, "group": group}, round(age_s + late_s, 3))
