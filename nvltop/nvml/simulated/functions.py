"""The functions of the simulated library, each with its C argument types."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_int, c_uint, c_ulonglong, c_void_p
from typing import TYPE_CHECKING, Any, Final

import pynvml

from nvltop.nvml.simulated import affinity, processes, samples
from nvltop.nvml.simulated.fields import INVALID_ARGUMENT, NOT_SUPPORTED
from nvltop.nvml.simulated.library import SUCCESS, gpu_of, handle_of, put, put_bus, put_text
from nvltop.nvml.simulated.node import AMPERE, BLACKWELL, HOPPER

if TYPE_CHECKING:
    from nvltop.nvml.simulated.library import Library

TIMEOUT_CODE: Final = 10
XID_EVENT: Final = 0x8
HW_THERMAL: Final = 0x40
TOPOLOGY_LEVELS: Final = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
ERROR_KINDS: Final = ("replay", "recovery", "crc_flit", "crc_data")
ARGUMENT_VERSION_MISMATCH: Final = 25
P, U = c_void_p, c_uint

Table = dict[str, "tuple[tuple[Any, ...], Callable[..., int]]"]


def functions(lib: Library) -> Table:
    """Return every function that the simulated driver has."""
    table: Table = {}
    parts = (_system, _identity, _gauges, _links, _topology, _events)
    for part in (*parts, affinity.functions, processes.functions, samples.functions):
        table |= part(lib)
    return table


def _system(lib: Library) -> Table:
    node = lib.machine.node

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


def _identity(lib: Library) -> Table:
    node = lib.machine.node

    table: Table = {
        "nvmlDeviceGetName": ((P, P, U), lambda gpu, out, n: put_text(out, n, node.boards[gpu].name)),
        "nvmlDeviceGetUUID": (
            (P, P, U),
            lambda gpu, out, n: put_text(out, n, f"GPU-51a70000-0000-4000-8000-{gpu:012x}"),
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
    if node.boards and node.boards[0].architecture >= AMPERE and (node.switches or node.mig):
        mig = int(node.mig)
        table["nvmlDeviceGetMigMode"] = (
            (P, P, P),
            lambda gpu, now, later: put(c_uint, now, mig) or put(c_uint, later, mig),
        )
    return table


def _gauges(lib: Library) -> Table:
    m = lib.machine
    boards = m.node.boards

    def remapped(gpu: int, outs: tuple[int, ...]) -> int:
        if boards[gpu].architecture < AMPERE:
            return NOT_SUPPORTED
        return sum(put(c_uint, out, 0) for out in outs)

    def utilization(gpu: int, out: int) -> int:
        rates = pynvml.c_nvmlUtilization_t.from_address(out)
        rates.gpu, rates.memory = (
            round(100 * m.utilization(gpu, lib.t)),
            round(45 * m.utilization(gpu, lib.t)),
        )
        return SUCCESS

    def power(gpu: int, out: int) -> int:
        watts = m.mean_power_w if boards[gpu].averages_power else m.power_w
        return put(c_uint, out, round(1000 * watts(gpu, lib.t)))

    def memory(gpu: int, out: int) -> int:
        if not boards[gpu].memory_info:
            return NOT_SUPPORTED
        info = pynvml.c_nvmlMemory_v2_t.from_address(out)
        info.total, info.used = boards[gpu].memory_gib << 30, m.memory_used(gpu)
        info.reserved, info.free = 0, info.total - info.used
        return SUCCESS

    def gen(gpu: int) -> int:
        # An idle GPU's link slows down; that is no fault.
        return boards[gpu].pcie_gen if m.busy else 1

    return {
        "nvmlDeviceGetUtilizationRates": ((P, P), utilization),
        "nvmlDeviceGetMemoryInfo_v2": ((P, P), memory),
        "nvmlDeviceGetPowerUsage": ((P, P), power),
        "nvmlDeviceGetTemperature": (
            (P, U, P),
            lambda gpu, sensor, out: put(c_uint, out, m.temperature_c(gpu, lib.t)),
        ),
        "nvmlDeviceGetClockInfo": (
            (P, U, P),
            lambda gpu, clock, out: put(c_uint, out, m.workload.clock_mhz(gpu)),
        ),
        "nvmlDeviceGetPerformanceState": ((P, P), lambda gpu, out: put(c_int, out, 0 if m.busy else 8)),
        "nvmlDeviceGetCurrentClocksEventReasons": (
            (P, P),
            lambda gpu, out: put(
                c_ulonglong, out, HW_THERMAL if m.faults.is_overheated(gpu, lib.t) else 0 if m.busy else 1
            ),
        ),
        "nvmlDeviceGetCurrPcieLinkGeneration": ((P, P), lambda gpu, out: put(c_uint, out, gen(gpu))),
        "nvmlDeviceGetCurrPcieLinkWidth": (
            (P, P),
            lambda gpu, out: put(c_uint, out, boards[gpu].pcie_width),
        ),
        "nvmlDeviceGetRemappedRows": (
            (P, P, P, P, P),
            lambda gpu, *outs: remapped(gpu, outs),
        ),
        "nvmlDeviceGetPcieThroughput": (
            (P, U, P),
            lambda gpu, way, out: put(c_uint, out, round(m.pcie(gpu, ("tx", "rx")[way]).rate(lib.t) / 1000)),
        ),
        "nvmlDeviceGetFieldValues": ((P, c_int, P), lib.fill_fields),
    }


def _links(lib: Library) -> Table:
    m = lib.machine
    node = m.node

    def about(body: Callable[..., int]) -> Callable[..., int]:
        """Refuse questions about links that are not there, as the driver does."""

        def answer(gpu: int, link: int, *rest: Any) -> int:
            if not node.links[gpu] or node.mig or node.links_unsupported:
                return NOT_SUPPORTED
            return body(gpu, link, *rest) if link < len(node.links[gpu]) else INVALID_ARGUMENT

        return answer

    def remote_bus(gpu: int, link: int, out: int) -> int:
        end = m.link_end(gpu, link)
        if not m.up(gpu, link, lib.t):
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
        # B200 says yes for all 36 links that NVML can number (TensorRT-LLM#19210); others know their own.
        lies = node.boards[gpu].architecture >= BLACKWELL
        there = link < (pynvml.NVML_NVLINK_MAX_LINKS if lies else len(node.links[gpu]))
        return put(c_uint, out, 1) if node.links[gpu] and there else INVALID_ARGUMENT

    def error(gpu: int, link: int, kind: int, out: int) -> int:
        if kind >= len(ERROR_KINDS) or node.boards[gpu].architecture >= BLACKWELL:
            return NOT_SUPPORTED
        return put(c_ulonglong, out, m.errors(gpu, link, ERROR_KINDS[kind], lib.t))

    return {
        "nvmlDeviceGetNvLinkState": (
            (P, U, P),
            about(lambda gpu, link, out: put(c_uint, out, int(m.up(gpu, link, lib.t)))),
        ),
        "nvmlDeviceGetNvLinkVersion": (
            (P, U, P),
            about(
                lambda gpu, link, out: put(
                    c_uint, out, node.boards[gpu].link_version if m.up(gpu, link, lib.t) else 0
                )
            ),
        ),
        "nvmlDeviceGetNvLinkRemotePciInfo_v2": ((P, U, P), about(remote_bus)),
        "nvmlDeviceGetNvLinkRemoteDeviceType": ((P, U, P), about(remote_type)),
        "nvmlDeviceGetNvLinkCapability": ((P, U, U, P), capability),
        "nvmlDeviceGetNvLinkErrorCounter": ((P, U, U, P), about(error)),
    }


def _topology(lib: Library) -> Table:
    node = lib.machine.node

    def ancestor(a: int, handle: int, out: int) -> int:
        b = gpu_of(handle)
        level = node.same_numa_level if node.numa[a] == node.numa[b] else node.cross_numa_level
        level = node.pcie_levels.get((min(a, b), max(a, b)), level)
        return put(c_uint, out, 0 if a == b else TOPOLOGY_LEVELS[level])

    def p2p(a: int, handle: int, index: int, out: int) -> int:
        b = gpu_of(handle)
        ends = node.links[a]
        refused = node.mig or lib.machine.scenario == "p2p-dead"
        linked = not refused and any(e.kind == "switch" or (e.kind == "gpu" and e.device == b) for e in ends)
        return put(c_uint, out, 0 if linked or index != 2 else 5)

    def fabric(gpu: int, out: int) -> int:
        board = node.boards[gpu]
        if not board.fabric:
            return NOT_SUPPORTED
        info = pynvml.c_nvmlGpuFabricInfo_v3_t.from_address(out)
        if info.version == pynvml.nvmlGpuFabricInfo_v3 and board.architecture < BLACKWELL:
            return ARGUMENT_VERSION_MISMATCH
        info.state = 2 if lib.machine.scenario == "fabric-stuck" else 3
        info.status, info.cliqueId = SUCCESS, node.clique_id
        info.clusterUuid[:] = node.cluster_uuid
        # Each two-bit field says "no" (2); Blackwell also reports on its partition and its manager.
        info.healthMask = 0x51AA if board.architecture >= BLACKWELL else 0x2
        if info.version == pynvml.nvmlGpuFabricInfo_v3:
            info.healthSummary = 1
        return SUCCESS

    table: Table = {
        "nvmlDeviceGetTopologyCommonAncestor": ((P, P, P), ancestor),
        "nvmlDeviceGetP2PStatus": ((P, P, U, P), p2p),
    }
    if node.boards and node.boards[0].architecture >= HOPPER:
        table["nvmlDeviceGetGpuFabricInfoV"] = ((P, P), fabric)
    return table


def _events(lib: Library) -> Table:
    coming = lib.machine.faults.xids()

    def wait(events: int, out: int, timeout_ms: int) -> int:
        left_s = timeout_ms / 1000
        if coming and coming[0][0] - lib.t <= left_s:
            lib.released.wait(max(0.0, coming[0][0] - lib.t))
            _, gpu, code = coming.pop(0)
            event = pynvml.c_nvmlEventData_t.from_address(out)
            event.eventType, event.eventData = XID_EVENT, code
            return put(c_void_p, out, handle_of(gpu))
        lib.released.wait(left_s)
        return TIMEOUT_CODE

    return {
        "nvmlEventSetCreate": ((P,), lambda out: put(c_void_p, out, 0x9000)),
        "nvmlDeviceGetSupportedEventTypes": ((P, P), lambda gpu, out: put(c_ulonglong, out, 0x8)),
        "nvmlDeviceRegisterEvents": ((P, c_ulonglong, P), lambda gpu, types, events: SUCCESS),
        "nvmlEventSetWait_v2": ((P, P, U), wait),
        "nvmlEventSetFree": ((P,), lambda events: SUCCESS),
    }
