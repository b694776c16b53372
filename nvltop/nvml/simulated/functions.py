"""The functions of the simulated library, each with its C argument types."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_double, c_int, c_uint, c_ulonglong, c_void_p
from typing import TYPE_CHECKING, Any, Final

import pynvml

from nvltop.nvml.simulated.fields import INVALID_ARGUMENT, NOT_SUPPORTED
from nvltop.nvml.simulated.library import SUCCESS, gpu_of, handle_of, put, put_text
from nvltop.nvml.simulated.node import HOPPER

if TYPE_CHECKING:
    from nvltop.nvml.simulated.library import Library

TIMEOUT: Final = 10
LEVELS: Final = {"PIX": 10, "PXB": 20, "PHB": 30, "NODE": 40, "SYS": 50}
ERROR_KINDS: Final = ("replay", "recovery", "crc_flit", "crc_data")
GPM_PCIE: Final = {20: "tx", 21: "rx"}
P, U = c_void_p, c_uint

Table = dict[str, "tuple[tuple[Any, ...], Callable[..., int]]"]


def functions(lib: Library) -> Table:
    """Return every function that the simulated driver has."""
    table: Table = {}
    for part in (_system, _identity, _gauges, _links, _topology, _events, _gpm):
        table |= part(lib)
    return table


def _system(lib: Library) -> Table:
    node = lib.machine.node

    def handle(index: int, out: int) -> int:
        return put(c_void_p, out, handle_of(index)) if index < node.gpus else INVALID_ARGUMENT

    return {
        "nvmlInit_v2": ((), lambda: node.init),
        "nvmlInitWithFlags": ((U,), lambda flags: node.init),
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
    node, board = lib.machine.node, lib.machine.node.board

    def bus(out: int, number: int) -> int:
        info = pynvml.nvmlPciInfo_t.from_address(out)
        info.domain, info.bus, info.device = 0, number, 0
        info.busId = f"00000000:{number:02X}:00.0".encode()
        info.busIdLegacy = f"0000:{number:02X}:00.0".encode()
        return SUCCESS

    def words(out: int, count: int, bits: range) -> int:
        array = (c_ulonglong * count).from_address(out)
        for i in range(count):
            array[i] = 0
        for bit in bits:
            if bit // 64 < count:
                array[bit // 64] |= 1 << bit % 64
        return SUCCESS

    def cpus(gpu: int) -> range:
        nodes = sorted(set(node.numa))
        share = node.cpus // len(nodes)
        first = nodes.index(node.numa[gpu]) * share
        return range(first, first + share)

    table: Table = {
        "nvmlDeviceGetName": ((P, P, U), lambda gpu, out, n: put_text(out, n, board.name)),
        "nvmlDeviceGetUUID": (
            (P, P, U),
            lambda gpu, out, n: put_text(out, n, f"GPU-51a70000-0000-4000-8000-{gpu:012x}"),
        ),
        "nvmlDeviceGetPciInfo_v3": ((P, P), lambda gpu, out: bus(out, node.buses[gpu])),
        "nvmlDeviceGetArchitecture": ((P, P), lambda gpu, out: put(c_uint, out, board.architecture)),
        "nvmlDeviceGetCpuAffinity": ((P, U, P), lambda gpu, n, out: words(out, n, cpus(gpu))),
        "nvmlDeviceGetMemoryAffinity": (
            (P, U, P, U),
            lambda gpu, n, out, scope: words(out, n, range(node.numa[gpu], node.numa[gpu] + 1)),
        ),
        "nvmlDeviceGetModuleId": ((P, P), lambda gpu, out: put(c_uint, out, gpu + 1 if node.switches else 0)),
        "nvmlDeviceGetMinorNumber": ((P, P), lambda gpu, out: put(c_uint, out, gpu)),
        "nvmlDeviceGetVirtualizationMode": ((P, P), lambda gpu, out: put(c_uint, out, 0)),
        "nvmlDeviceGetPersistenceMode": ((P, P), lambda gpu, out: put(c_uint, out, 1)),
        "nvmlDeviceGetEnforcedPowerLimit": (
            (P, P),
            lambda gpu, out: put(c_uint, out, board.power_limit_w * 1000),
        ),
        "nvmlDeviceGetMaxPcieLinkGeneration": ((P, P), lambda gpu, out: put(c_uint, out, board.pcie_gen)),
        "nvmlDeviceGetMaxPcieLinkWidth": ((P, P), lambda gpu, out: put(c_uint, out, 16)),
    }
    if node.switches:
        table["nvmlDeviceGetMigMode"] = (
            (P, P, P),
            lambda gpu, now, later: put(c_uint, now, 0) or put(c_uint, later, 0),
        )
    return table


def _gauges(lib: Library) -> Table:
    m = lib.machine
    board = m.node.board

    def utilization(gpu: int, out: int) -> int:
        rates = pynvml.c_nvmlUtilization_t.from_address(out)
        rates.gpu, rates.memory = round(100 * m.load(gpu, lib.t)), round(45 * m.load(gpu, lib.t))
        return SUCCESS

    def memory(gpu: int, out: int) -> int:
        info = pynvml.c_nvmlMemory_v2_t.from_address(out)
        info.total, info.used = board.memory_gib << 30, m.memory_used(gpu)
        info.reserved, info.free = 0, info.total - info.used
        return SUCCESS

    def gen(gpu: int) -> int:
        # An idle GPU's link slows down; that is no fault.
        return board.pcie_gen if m.busy else 1

    return {
        "nvmlDeviceGetUtilizationRates": ((P, P), utilization),
        "nvmlDeviceGetMemoryInfo_v2": ((P, P), memory),
        "nvmlDeviceGetPowerUsage": (
            (P, P),
            lambda gpu, out: put(c_uint, out, round(1000 * m.power_w(gpu, lib.t))),
        ),
        "nvmlDeviceGetTemperature": (
            (P, U, P),
            lambda gpu, sensor, out: put(c_uint, out, m.temperature_c(gpu, lib.t)),
        ),
        "nvmlDeviceGetClockInfo": (
            (P, U, P),
            lambda gpu, clock, out: put(c_uint, out, 1755 if m.busy else 345),
        ),
        "nvmlDeviceGetPerformanceState": ((P, P), lambda gpu, out: put(c_int, out, 0 if m.busy else 8)),
        "nvmlDeviceGetCurrentClocksEventReasons": (
            (P, P),
            lambda gpu, out: put(c_ulonglong, out, 0 if m.busy else 1),
        ),
        "nvmlDeviceGetCurrPcieLinkGeneration": ((P, P), lambda gpu, out: put(c_uint, out, gen(gpu))),
        "nvmlDeviceGetCurrPcieLinkWidth": ((P, P), lambda gpu, out: put(c_uint, out, 16)),
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
            if not node.links[gpu]:
                return NOT_SUPPORTED
            return body(gpu, link, *rest) if link < len(node.links[gpu]) else INVALID_ARGUMENT

        return answer

    def remote_bus(gpu: int, link: int, out: int) -> int:
        end = m.end(gpu, link)
        if not m.up(gpu, link, lib.t):
            return INVALID_ARGUMENT
        number = node.switches[end.at] if end.kind == "switch" else node.buses[end.at]
        info = pynvml.nvmlPciInfo_t.from_address(out)
        info.domain, info.bus, info.device = 0, number, 0
        info.busId = f"00000000:{number:02X}:00.0".encode()
        return SUCCESS

    def remote_type(gpu: int, link: int, out: int) -> int:
        kinds = {"gpu": 0, "switch": 2}
        return put(c_uint, out, kinds.get(m.end(gpu, link).kind, 0xFF))

    def error(gpu: int, link: int, kind: int, out: int) -> int:
        if kind >= len(ERROR_KINDS):
            return NOT_SUPPORTED
        return put(c_ulonglong, out, m.errors(gpu, link, ERROR_KINDS[kind], lib.t))

    return {
        "nvmlDeviceGetNvLinkState": (
            (P, U, P),
            about(lambda gpu, link, out: put(c_uint, out, int(m.up(gpu, link, lib.t)))),
        ),
        "nvmlDeviceGetNvLinkVersion": (
            (P, U, P),
            about(lambda gpu, link, out: put(c_uint, out, node.board.link_version)),
        ),
        "nvmlDeviceGetNvLinkRemotePciInfo_v2": ((P, U, P), about(remote_bus)),
        "nvmlDeviceGetNvLinkRemoteDeviceType": ((P, U, P), about(remote_type)),
        "nvmlDeviceGetNvLinkErrorCounter": ((P, U, U, P), about(error)),
    }


def _topology(lib: Library) -> Table:
    node = lib.machine.node

    def ancestor(a: int, handle: int, out: int) -> int:
        b = gpu_of(handle)
        level = node.near if node.numa[a] == node.numa[b] else node.far
        return put(c_uint, out, 0 if a == b else LEVELS[level])

    def p2p(a: int, handle: int, index: int, out: int) -> int:
        b = gpu_of(handle)
        ends = node.links[a]
        linked = any(e.kind == "switch" or (e.kind == "gpu" and e.at == b) for e in ends)
        return put(c_uint, out, 0 if linked or index != 2 else 5)

    def fabric(gpu: int, out: int) -> int:
        info = pynvml.c_nvmlGpuFabricInfo_v2_t.from_address(out)
        info.state, info.status, info.healthMask, info.cliqueId = 3, 0, 0x2, 0
        return SUCCESS

    table: Table = {
        "nvmlDeviceGetTopologyCommonAncestor": ((P, P, P), ancestor),
        "nvmlDeviceGetP2PStatus": ((P, P, U, P), p2p),
    }
    if node.board.architecture >= HOPPER and node.switches:
        table["nvmlDeviceGetGpuFabricInfoV"] = ((P, P), fabric)
    return table


def _events(lib: Library) -> Table:
    def wait(events: int, out: int, timeout_ms: int) -> int:
        lib.idle.wait(timeout_ms / 1000)
        return TIMEOUT

    return {
        "nvmlEventSetCreate": ((P,), lambda out: put(c_void_p, out, 0x9000)),
        "nvmlDeviceGetSupportedEventTypes": ((P, P), lambda gpu, out: put(c_ulonglong, out, 0x8)),
        "nvmlDeviceRegisterEvents": ((P, c_ulonglong, P), lambda gpu, types, events: SUCCESS),
        "nvmlEventSetWait_v2": ((P, P, U), wait),
        "nvmlEventSetFree": ((P,), lambda events: SUCCESS),
    }


def _gpm(lib: Library) -> Table:
    """GPU performance monitoring, Hopper and later; a sample is a struct of GPU and time."""
    if lib.machine.node.board.architecture < HOPPER:
        return {}
    samples: list[Any] = []

    class Sample(ctypes.Structure):
        _fields_ = (("gpu", c_int), ("t", c_double))

    def support(gpu: int, out: int) -> int:
        pynvml.c_nvmlGpmSupport_t.from_address(out).isSupportedDevice = 1
        return SUCCESS

    def alloc(out: int) -> int:
        samples.append(Sample())
        return put(c_void_p, out, ctypes.addressof(samples[-1]))

    def take(gpu: int, address: int) -> int:
        sample = Sample.from_address(address)
        sample.gpu, sample.t = gpu, lib.t
        return SUCCESS

    def metrics(out: int) -> int:
        request = pynvml.c_nvmlGpmMetricsGet_t.from_address(out)
        first, last = (
            Sample.from_address(ctypes.cast(s, c_void_p).value or 0)
            for s in (request.sample1, request.sample2)
        )
        for metric in request.metrics[: request.numMetrics]:
            direction = GPM_PCIE.get(metric.metricId)
            metric.nvmlReturn = SUCCESS if direction else NOT_SUPPORTED
            if direction:
                flow = lib.machine.pcie(first.gpu, direction)
                metric.value = (flow.moved(last.t) - flow.moved(first.t)) / (last.t - first.t) / (1 << 20)
        return SUCCESS

    return {
        "nvmlGpmQueryDeviceSupport": ((P, P), lambda handle, out: support(gpu_of(handle), out)),
        "nvmlGpmSampleAlloc": ((P,), alloc),
        "nvmlGpmSampleFree": ((P,), lambda sample: SUCCESS),
        "nvmlGpmSampleGet": ((P, P), lambda handle, sample: take(gpu_of(handle), sample)),
        "nvmlGpmMetricsGet": ((P,), metrics),
    }
