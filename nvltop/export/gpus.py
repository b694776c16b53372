"""Metrics of each GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from nvltop.export.metric_set import InfoSpec, MetricSet, MetricSpec, Staleness, ValueSpec, gpu_labels
from nvltop.model import GpuFrame, Maybe, Missing


def _scaled(get: Callable[[GpuFrame], Maybe[float]], factor: float) -> Callable[[GpuFrame], Maybe[float]]:
    """Return a getter for the value in the base unit of Prometheus."""

    def scaled(gpu: GpuFrame) -> Maybe[float]:
        value = get(gpu)
        return value if isinstance(value, Missing) else value * factor

    return scaled


GPU_VALUES: Final[tuple[ValueSpec[GpuFrame], ...]] = (
    ValueSpec(
        MetricSpec("nvlink_links", "NVLinks that the GPU has; 0 without NVLink."),
        lambda g: g.nvlink.links_present,
    ),
    ValueSpec(
        MetricSpec("nvlink_links_active", "NVLinks that are trained."), lambda g: g.nvlink.links_up, "states"
    ),
    ValueSpec(
        MetricSpec("nvlink_speed_bytes_per_second", "What the active NVLinks can carry in one direction."),
        lambda g: g.nvlink.speed_bytes_per_s,
        "states",
    ),
    ValueSpec(
        MetricSpec(
            "nvlink_used_ratio",
            "Mean over the last ten seconds of the busier direction over the speed of the active NVLinks.",
        ),
        lambda g: g.nvlink.recent_share,
        "links",
    ),
    ValueSpec(
        MetricSpec("nvlink_ceiling_ratio", "Share of the speed that NCCL reaches in practice."),
        lambda g: g.nvlink.ceiling,
    ),
    ValueSpec(
        MetricSpec("gpu_utilization_ratio", "Share of the time in which a kernel ran, as NVML reports it."),
        _scaled(lambda g: g.gauges.util_percent, 0.01),
        "gauges",
    ),
    ValueSpec(
        MetricSpec("gpu_memory_used_bytes", "Memory in use."), lambda g: g.gauges.memory_used_bytes, "gauges"
    ),
    ValueSpec(
        MetricSpec("gpu_memory_size_bytes", "Memory of the GPU."), lambda g: g.gauges.memory_total_bytes
    ),
    ValueSpec(MetricSpec("gpu_power_watts", "Power drawn."), lambda g: g.gauges.power_w, "gauges"),
    ValueSpec(MetricSpec("gpu_power_limit_watts", "Power limit in force."), lambda g: g.gpu.power_limit_w),
    ValueSpec(
        MetricSpec("gpu_temperature_celsius", "Temperature of the GPU."),
        lambda g: g.gauges.temperature_c,
        "gauges",
    ),
    ValueSpec(
        MetricSpec("gpu_sm_clock_hertz", "Clock of the multiprocessors."),
        _scaled(lambda g: g.gauges.sm_clock_mhz, 1e6),
        "gauges",
    ),
    ValueSpec(
        MetricSpec("gpu_clocks_event_reasons", "NVML's bit mask of the reasons for the current clocks."),
        lambda g: g.gauges.event_reasons,
        "gauges",
    ),
    ValueSpec(MetricSpec("pcie_generation", "PCIe generation now."), lambda g: g.gauges.pcie_gen, "gauges"),
    ValueSpec(
        MetricSpec("pcie_generation_max", "Highest PCIe generation possible."), lambda g: g.gpu.pcie_gen_max
    ),
    ValueSpec(MetricSpec("pcie_width", "PCIe lanes now."), lambda g: g.gauges.pcie_width, "gauges"),
    ValueSpec(
        MetricSpec("pcie_width_max", "Highest number of PCIe lanes possible."), lambda g: g.gpu.pcie_width_max
    ),
    ValueSpec(
        MetricSpec(
            "pcie_transmit_bytes_per_second", "PCIe traffic out of the GPU, as the driver averages it."
        ),
        lambda g: g.pcie.tx_bytes_per_s,
        "pcie",
    ),
    ValueSpec(
        MetricSpec("pcie_receive_bytes_per_second", "PCIe traffic into the GPU, as the driver averages it."),
        lambda g: g.pcie.rx_bytes_per_s,
        "pcie",
    ),
    ValueSpec(MetricSpec("c2c_links", "C2C links to a CPU."), lambda g: g.gpu.c2c.links),
    ValueSpec(MetricSpec("c2c_links_active", "C2C links that are trained."), lambda g: g.gpu.c2c.links_up),
    ValueSpec(
        MetricSpec("c2c_speed_bytes_per_second", "What the active C2C links can carry in one direction."),
        lambda g: g.gpu.c2c.speed_bytes_per_s,
    ),
    ValueSpec(
        MetricSpec("c2c_transmit_bytes_per_second", "C2C traffic out of the GPU."),
        lambda g: g.c2c.tx_bytes_per_s,
        "c2c",
    ),
    ValueSpec(
        MetricSpec("c2c_receive_bytes_per_second", "C2C traffic into the GPU."),
        lambda g: g.c2c.rx_bytes_per_s,
        "c2c",
    ),
    ValueSpec(
        MetricSpec("fabric_health_mask", "NVML's mask of the NVLink fabric's health; see nvml.h."),
        lambda g: g.fabric.health_mask,
        "fabric",
    ),
    ValueSpec(
        MetricSpec(
            "gpu_recovery_action", "Recovery action that the driver requests (NVML field 230); 0 is none."
        ),
        lambda g: g.fabric.recovery_action,
        "fabric",
    ),
    ValueSpec(
        MetricSpec(
            "gpu_uptime_seconds",
            "Time since the driver initialised the GPU, since which its counters count.",
        ),
        lambda g: g.uptime_s,
        "fabric",
    ),
    ValueSpec(
        MetricSpec("gpu_remapped_rows", "Memory rows replaced for uncorrectable errors."),
        lambda g: g.fabric.remapped_rows,
        "fabric",
    ),
)
GPU: Final[InfoSpec[GpuFrame]] = InfoSpec(
    MetricSpec(
        "gpu",
        "Description of the GPU; `counter` says what its traffic counters count; in a rack, `slot` and `tray`"
        " are its place in the chassis.",
        "info",
    ),
    lambda g: {
        "model": g.gpu.name,
        "architecture": g.gpu.architecture,
        "nvlink_generation": g.gpu.nvlink_generation,
        "counter": g.nvlink.counter,
        "mig": g.gpu.mig,
        "numa_node": g.gpu.numa_node,
        "module_id": g.gpu.module_id,
        "chassis_serial": g.gpu.chassis_serial,
        "slot": g.gpu.slot,
        "tray": g.gpu.tray,
        "host_id": g.gpu.host_id,
    },
)
FABRIC: Final[InfoSpec[GpuFrame]] = InfoSpec(
    MetricSpec(
        "fabric",
        "Membership of the NVLink fabric; `cluster_uuid` and `clique_id` are those of the NVLink domain.",
        "info",
    ),
    lambda g: {
        "state": g.fabric.state,
        "status": g.fabric.status,
        "health": g.fabric.health_summary,
        "cluster_uuid": g.fabric.cluster_uuid,
        "clique_id": g.fabric.clique_id,
    },
)
GPU_STATE: Final = MetricSpec("gpu_state", "1 for the state of the GPU, 0 for all others.")
GPU_STATES: Final = ("ok", "lost", "unreadable")
READING_AGE: Final = MetricSpec("reading_age_seconds", "Time since a group of values was read.")


def add_gpu(metrics: MetricSet, gpu: GpuFrame, late_s: float, not_reading: Missing | None) -> None:
    """Add one GPU of a frame that is `late_s` old.

    `not_reading` is the reason why the reading process does not read at all, if it does not.
    """
    labels = gpu_labels(gpu)
    metrics.add_info(GPU, gpu, labels)
    metrics.add_state(
        GPU_STATE, labels, GPU_STATES, "unreadable" if not_reading and gpu.state == "ok" else gpu.state
    )
    staleness = Staleness.of_gpu(gpu, late_s, not_reading)
    metrics.add_values(GPU_VALUES, gpu, labels, staleness)
    state = staleness.fresh("fabric", gpu.fabric.state)
    if isinstance(state, Missing):
        metrics.add(FABRIC.metric, labels, state)
    else:
        metrics.add_info(FABRIC, gpu, labels)
    for group, age_s in gpu.age_s.items():
        metrics.add(READING_AGE, {**labels, "group": group}, round(age_s + late_s, 3))
