"""The functions of the simulated library, each with its C argument types."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from typing import Any, Final

import pynvml

from nvltop.model.clock_reasons import HW_THERMAL
from nvltop.nvml.simulated import affinity, events, firmware, processes, samples
from nvltop.nvml.simulated.abi import (
    ARGUMENT_VERSION_MISMATCH,
    INVALID_ARGUMENT,
    NOT_SUPPORTED,
    SUCCESS,
    FunctionTable,
    SimulatedDriver,
    gpu_of,
    handle_of,
    put,
    put_bus,
    put_text,
    uuid_of,
)
from nvltop.nvml.simulated.node import AMPERE, BLACKWELL, HOPPER

SLOWDOWN: Final = 1
"""nvmlTemperatureThresholds_t of the temperature from which the hardware slows a GPU down."""
GPU_IDLE: Final = 0x1
"""Event reason of clocks that are low because the GPU is idle."""
TOPOLOGY_LEVELS: Final = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
"""nvmlGpuTopologyLevel_t by the abbreviation that `nvidia-smi topo -m` prints."""
ERROR_KINDS: Final = ("replay", "recovery", "crc_flit", "crc_data")
"""Error kinds by nvmlNvLinkErrorCounter_t."""
UPTIME_BRANCH: Final = 620
"""First driver branch with nvmlDeviceGetGpuUptime_v1 (header 13.5.37)."""
RESERVED_BYTES: Final = 600 << 20
"""Memory that the driver reserves on each GPU."""
P, U = c_void_p, c_uint


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return every function of the simulated library."""
    table: FunctionTable = {}
    parts = (_system, _identity, _gauges, _links, _topology)
    modules = (affinity, events, firmware, processes, samples)
    for part in (*parts, *(module.function_table for module in modules)):
        table |= part(driver)
    return table


def _system(driver: SimulatedDriver) -> FunctionTable:
    node = driver.machine.node

    def handle(index: int, out: int) -> int:
        return put(c_void_p, out, handle_of(index)) if index < node.gpus else INVALID_ARGUMENT

    return {
        "nvmlInit_v2": ((), lambda: node.init_code),
        "nvmlInitWithFlags": ((U,), lambda flags: node.init_code),
        "nvmlShutdown": ((), lambda: SUCCESS),
        "nvmlSystemGetDriverVersion": ((P, U), lambda out, n: put_text(out, n, node.driver)),
        "nvmlSystemGetNVMLVersion": (
            (P, U),
            lambda out, n: put_text(out, n, f"{node.cuda // 1000}.{node.driver}"),
        ),
        "nvmlSystemGetCudaDriverVersion_v2": ((P,), lambda out: put(c_int, out, node.cuda)),
        "nvmlDeviceGetCount_v2": ((P,), lambda out: put(c_uint, out, node.gpus)),
        "nvmlDeviceGetHandleByIndex_v2": ((U, P), handle),
    }


def _identity(driver: SimulatedDriver) -> FunctionTable:
    node = driver.machine.node

    table: FunctionTable = {
        "nvmlDeviceGetName": ((P, P, U), lambda gpu, out, n: put_text(out, n, node.boards[gpu].name)),
        "nvmlDeviceGetUUID": (
            (P, P, U),
            lambda gpu, out, n: put_text(out, n, uuid_of(gpu)),
        ),
        "nvmlDeviceGetPciInfo_v3": ((P, P), lambda gpu, out: put_bus(out, node.domain, node.buses[gpu])),
        "nvmlDeviceGetArchitecture": (
            (P, P),
            lambda gpu, out: put(c_uint, out, node.boards[gpu].architecture),
        ),
        "nvmlDeviceGetModuleId": ((P, P), lambda gpu, out: put(c_uint, out, gpu + 1 if node.switches else 0)),
        "nvmlDeviceGetMinorNumber": ((P, P), lambda gpu, out: put(c_uint, out, gpu)),
        "nvmlDeviceGetVirtualizationMode": (
            (P, P),
            lambda gpu, out: put(c_uint, out, node.virtualization),
        ),
        "nvmlDeviceGetPersistenceMode": ((P, P), lambda gpu, out: put(c_uint, out, 1)),
        "nvmlDeviceGetEnforcedPowerLimit": (
            (P, P),
            lambda gpu, out: put(c_uint, out, node.boards[gpu].power_limit_w * 1000),
        ),
        "nvmlDeviceGetMaxPcieLinkGeneration": (
            (P, P),
            lambda gpu, out: put(c_uint, out, node.boards[gpu].pcie_gen),
        ),
        "nvmlDeviceGetMaxPcieLinkWidth": (
            (P, P),
            lambda gpu, out: put(c_uint, out, node.boards[gpu].pcie_width),
        ),
    }
    if node.branch >= UPTIME_BRANCH:
        initialised_t = driver.machine.initialised_t
        table["nvmlDeviceGetGpuUptime_v1"] = (
            (P, P),
            lambda gpu, out: put(c_uint, out, int(driver.t - initialised_t[gpu])),
        )
    if node.boards and node.boards[0].architecture >= AMPERE and (node.switches or node.mig):
        mig = int(node.mig)
        table["nvmlDeviceGetMigMode"] = (
            (P, P, P),
            lambda gpu, now, later: put(c_uint, now, mig) or put(c_uint, later, mig),
        )
    return table


def _gauges(driver: SimulatedDriver) -> FunctionTable:
    m = driver.machine
    boards = m.node.boards

    def remapped_rows(gpu: int, outs: tuple[int, ...]) -> int:
        if boards[gpu].architecture < AMPERE:
            return NOT_SUPPORTED
        return sum(put(c_uint, out, 0) for out in outs)

    def utilization(gpu: int, out: int) -> int:
        rates = pynvml.c_nvmlUtilization_t.from_address(out)
        rates.gpu, rates.memory = (
            round(100 * m.utilization(gpu, driver.t)),
            round(45 * m.utilization(gpu, driver.t)),
        )
        return SUCCESS

    def power(gpu: int, out: int) -> int:
        watts = m.mean_power_w if boards[gpu].averages_power else m.power_w
        return put(c_uint, out, round(1000 * watts(gpu, driver.t)))

    def threshold(gpu: int, kind: int, out: int) -> int:
        limit = boards[gpu].slowdown_c if kind == SLOWDOWN else None
        return NOT_SUPPORTED if limit is None else put(c_uint, out, limit)

    def memory(gpu: int, out: int, reserved: int, struct: Any) -> int:
        if not boards[gpu].memory_info:
            return NOT_SUPPORTED
        info = struct.from_address(out)
        info.total, info.used = boards[gpu].memory_gib << 30, m.memory_used(gpu) + reserved
        info.free = info.total - info.used
        return SUCCESS

    def pcie_gen(gpu: int) -> int:
        # The PCIe link of an idle GPU slows down to save power.
        return boards[gpu].pcie_gen if m.busy else 1

    def pcie_kb_per_s(gpu: int, direction: str) -> int:
        return round(m.pcie(gpu, direction).rate(driver.t) / 1000)

    def event_reasons(gpu: int) -> int:
        if m.faults.is_overheated(gpu, driver.t):
            return HW_THERMAL
        return 0 if m.busy else GPU_IDLE

    return {
        "nvmlDeviceGetUtilizationRates": ((P, P), utilization),
        # Version 1 counts the driver's reserve as used.
        "nvmlDeviceGetMemoryInfo": (
            (P, P),
            lambda gpu, out: memory(gpu, out, RESERVED_BYTES, pynvml.c_nvmlMemory_t),
        ),
        "nvmlDeviceGetMemoryInfo_v2": (
            (P, P),
            lambda gpu, out: memory(gpu, out, 0, pynvml.c_nvmlMemory_v2_t),
        ),
        "nvmlDeviceGetPowerUsage": ((P, P), power),
        "nvmlDeviceGetTemperature": (
            (P, U, P),
            lambda gpu, sensor, out: put(c_uint, out, m.temperature_c(gpu, driver.t)),
        ),
        "nvmlDeviceGetTemperatureThreshold": ((P, U, P), threshold),
        "nvmlDeviceGetClockInfo": (
            (P, U, P),
            lambda gpu, clock, out: put(c_uint, out, m.workload.clock_mhz(gpu)),
        ),
        "nvmlDeviceGetPerformanceState": ((P, P), lambda gpu, out: put(c_int, out, 0 if m.busy else 8)),
        "nvmlDeviceGetCurrentClocksEventReasons": (
            (P, P),
            lambda gpu, out: put(c_ulonglong, out, event_reasons(gpu)),
        ),
        "nvmlDeviceGetCurrPcieLinkGeneration": ((P, P), lambda gpu, out: put(c_uint, out, pcie_gen(gpu))),
        "nvmlDeviceGetCurrPcieLinkWidth": (
            (P, P),
            lambda gpu, out: put(c_uint, out, boards[gpu].pcie_width),
        ),
        "nvmlDeviceGetRemappedRows": (
            (P, P, P, P, P),
            lambda gpu, *outs: remapped_rows(gpu, outs),
        ),
        "nvmlDeviceGetPcieThroughput": (
            (P, U, P),
            lambda gpu, direction, out: put(
                c_uint, out, round(m.pcie(gpu, ("tx", "rx")[direction]).rate(driver.t) / 1000)
            ),
        ),
        "nvmlDeviceGetFieldValues": ((P, c_int, P), driver.fill_fields),
    }


def _links(driver: SimulatedDriver) -> FunctionTable:
    m = driver.machine
    node = m.node

    def checked(body: Callable[..., int]) -> Callable[..., int]:
        """Return the driver's error code for a link that does not exist, else call `body`."""

        def answer(gpu: int, link: int, *rest: Any) -> int:
            if not node.links[gpu] or node.mig or node.links_unsupported:
                return NOT_SUPPORTED
            return body(gpu, link, *rest) if link < len(node.links[gpu]) else INVALID_ARGUMENT

        return answer

    def remote_bus(gpu: int, link: int, out: int) -> int:
        end = m.link_end(gpu, link)
        if not m.up(gpu, link, driver.t):
            return INVALID_ARGUMENT
        if node.hides_remotes:
            return put_bus(out, 0xFFFFFFFF, 0xFF, 0xFF)
        return put_bus(
            out, node.domain, node.switches[end.device] if end.kind == "switch" else node.buses[end.device]
        )

    def remote_type(gpu: int, link: int, out: int) -> int:
        kinds = {"gpu": 0, "switch": 2}
        if node.hides_remotes:
            return put(c_uint, out, 0xFF)
        return put(c_uint, out, kinds.get(m.link_end(gpu, link).kind, 0xFF))

    def capability(gpu: int, link: int, kind: int, out: int) -> int:
        # B200 reports the capability for all 36 links that NVML can number (TensorRT-LLM#19210).
        all_links = node.boards[gpu].architecture >= BLACKWELL
        exists = link < (pynvml.NVML_NVLINK_MAX_LINKS if all_links else len(node.links[gpu]))
        return put(c_uint, out, 1) if node.links[gpu] and exists else INVALID_ARGUMENT

    def error(gpu: int, link: int, kind: int, out: int) -> int:
        if kind >= len(ERROR_KINDS) or node.boards[gpu].architecture >= BLACKWELL:
            return NOT_SUPPORTED
        return put(c_ulonglong, out, m.errors(gpu, link, ERROR_KINDS[kind], driver.t))

    return {
        "nvmlDeviceGetNvLinkState": (
            (P, U, P),
            checked(lambda gpu, link, out: put(c_uint, out, int(m.up(gpu, link, driver.t)))),
        ),
        "nvmlDeviceGetNvLinkVersion": (
            (P, U, P),
            checked(
                lambda gpu, link, out: put(
                    c_uint, out, node.boards[gpu].link_version if m.up(gpu, link, driver.t) else 0
                )
            ),
        ),
        "nvmlDeviceGetNvLinkRemotePciInfo_v2": ((P, U, P), checked(remote_bus)),
        "nvmlDeviceGetNvLinkRemoteDeviceType": ((P, U, P), checked(remote_type)),
        "nvmlDeviceGetNvLinkCapability": ((P, U, U, P), capability),
        "nvmlDeviceGetNvLinkErrorCounter": ((P, U, U, P), checked(error)),
    }


def _topology(driver: SimulatedDriver) -> FunctionTable:
    node = driver.machine.node

    def ancestor(a: int, handle: int, out: int) -> int:
        b = gpu_of(handle)
        level = node.same_numa_level if node.numa[a] == node.numa[b] else node.cross_numa_level
        level = node.pcie_levels.get((min(a, b), max(a, b)), level)
        return put(c_uint, out, 0 if a == b else TOPOLOGY_LEVELS[level])

    def p2p(a: int, handle: int, index: int, out: int) -> int:
        b = gpu_of(handle)
        ends = node.links[a]
        no_p2p = node.mig or driver.machine.scenario == "p2p-dead"
        linked = not no_p2p and any(e.kind == "switch" or (e.kind == "gpu" and e.device == b) for e in ends)
        return put(c_uint, out, 0 if linked or index != 2 else 5)

    def fabric(gpu: int, out: int) -> int:
        board = node.boards[gpu]
        if not board.fabric:
            return NOT_SUPPORTED
        info = pynvml.c_nvmlGpuFabricInfo_v3_t.from_address(out)
        if info.version == pynvml.nvmlGpuFabricInfo_v3 and board.architecture < BLACKWELL:
            return ARGUMENT_VERSION_MISMATCH
        info.state = 2 if driver.machine.scenario == "fabric-stuck" else 3
        info.status, info.cliqueId = SUCCESS, node.clique_id
        info.clusterUuid[:] = node.cluster_uuid
        # 2 in a two-bit field means "no problem". Blackwell has more fields.
        info.healthMask = 0x51AA if board.architecture >= BLACKWELL else 0x2
        if info.version == pynvml.nvmlGpuFabricInfo_v3:
            info.healthSummary = 1
        return SUCCESS

    table: FunctionTable = {
        "nvmlDeviceGetTopologyCommonAncestor": ((P, P, P), ancestor),
        "nvmlDeviceGetP2PStatus": ((P, P, U, P), p2p),
    }
    if node.boards and node.boards[0].architecture >= HOPPER:
        table["nvmlDeviceGetGpuFabricInfoV"] = ((P, P), fabric)
    return table
