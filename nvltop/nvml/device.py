"""One GPU: its handle, its identity and its constant properties."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pynvml

from nvltop.frozen import frozen
from nvltop.model import (
    GPU_IS_LOST,
    NOT_SUPPORTED,
    C2c,
    Gpu,
    Maybe,
    Missing,
    Remote,
    RemoteKind,
    first_missing,
    known,
    total,
)
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.driver import Driver, plausible
from nvltop.nvml.fields import FieldRequest
from nvltop.nvml.firmware import read_firmware
from nvltop.text import ranges

ARCHITECTURE_NAMES: Final = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
NVLINK_GENERATIONS: Final = {1: "1.0", 2: "2.0", 3: "2.2", 4: "3.0", 5: "3.1", 6: "4.0", 7: "5.0", 8: "6.0"}
"""NVLink generations by nvmlNvlinkVersion_t."""
VIRTUALIZATION_MODES: Final = {0: "none", 1: "passthrough", 2: "vgpu", 3: "host-vgpu", 4: "host-vsga"}
"""Names of nvmlGpuVirtualizationMode_t."""
REMOTE_KINDS: Final = {0: RemoteKind.GPU, 1: RemoteKind.NPU, 2: RemoteKind.SWITCH}

LINK_COUNT: Final = 91
REMOTE_LINK: Final = 146
SWITCH_LINKS: Final = 147
VERSION: Final = 166
C2C_COUNT: Final = 170
C2C_STATUS: Final = 171
C2C_SPEED: Final = 172
"""Field ids (nvml.h, NVML_FI_DEV_*)."""

MAX_LINKS: Final = 256
"""Largest plausible link count; NVLink 6 has 36."""
MIG_HIDES_LINKS: Final = Missing("MIG is on")
NO_NUMA_NODE: Final = Missing("no NUMA node reported")
_AFFINITY_WORDS: Final = 32
"""Size of a CPU mask in 64-bit words: enough for 2048 CPUs."""


@frozen
class Device:
    """A GPU that NVML has opened."""

    index: int
    uuid: str
    handle: Any
    links: Maybe[int]
    """Number of links, connected or not; missing if it could not be read."""
    architecture: Maybe[int]
    """nvmlDeviceArchitecture_t, which increases with the generation."""
    mig: bool = False


def open_device(driver: Driver, index: int) -> Maybe[Device]:
    """Open the GPU with an NVML index; return `Missing` with the reason if that fails."""
    handle = driver.call(pynvml.nvmlDeviceGetHandleByIndex, index, gpu=index)
    if isinstance(handle, Missing):
        return handle
    uuid = driver.call(pynvml.nvmlDeviceGetUUID, handle, gpu=index)
    if uuid == GPU_IS_LOST:
        return GPU_IS_LOST
    if isinstance(uuid, Missing):
        # Identify a GPU without a readable UUID by its PCI bus id, else by its index.
        bus_id = _bus_id(driver.call(pynvml.nvmlDeviceGetPciInfo, handle, gpu=index))
        uuid = f"PCI-{bus_id}" if known(bus_id) else f"GPU-index-{index}"
    mig = driver.call(pynvml.nvmlDeviceGetMigMode, handle, gpu=index)
    mig_enabled = known(mig) and mig[0] == 1
    return Device(
        index=index,
        uuid=uuid,
        handle=handle,
        links=_link_count(driver, handle, index, mig_enabled),
        architecture=driver.call(pynvml.nvmlDeviceGetArchitecture, handle, gpu=index),
        mig=mig_enabled,
    )


def _link_count(driver: Driver, handle: Any, index: int, mig_enabled: bool) -> Maybe[int]:
    count = read_field(driver, handle, index, LINK_COUNT)
    if known(count):
        return plausible(count, 0, MAX_LINKS)
    # Old drivers lack the field. The last link is then the highest one with a readable state; links before
    # it may fail (P100 returns INVALID_ARGUMENT for links it lacks, bridged H100s have gaps).
    states = []
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        state = driver.call(pynvml.nvmlDeviceGetNvLinkState, handle, link, gpu=index)
        states.append(state)
        if link == 0 and isinstance(state, Missing) and state not in UNSUPPORTED:
            return state
        if link == 0 and state == NOT_SUPPORTED:
            break
    present = [link for link, state in enumerate(states) if known(state)]
    if present:
        return present[-1] + 1
    return MIG_HIDES_LINKS if mig_enabled else 0


def read_field(driver: Driver, handle: Any, index: int, field_id: int) -> Maybe[int]:
    """Read one field value, which is not of one link."""
    answer = FieldRequest((field_id, 0)).read(driver, handle, index)
    return answer if isinstance(answer, Missing) else answer.values[0]


@cache
def per_link_request(field_ids: tuple[int, ...], count: int) -> FieldRequest:
    """Return a request for fields whose scope id is the link, for links 0 to `count` - 1, field by field."""
    return FieldRequest(*((f, link) for f in field_ids for link in range(count)))


def read_per_link(
    driver: Driver, device: Device, field_ids: tuple[int, ...], count: int
) -> Maybe[dict[int, list[Maybe[int]]]]:
    """Read fields whose scope id is the link, for links 0 to `count` - 1, in one call."""
    answer = per_link_request(field_ids, count).read(driver, device.handle, device.index)
    if isinstance(answer, Missing):
        return answer
    return {f: answer.values[i * count : (i + 1) * count] for i, f in enumerate(field_ids)}


def read_gpu(driver: Driver, device: Device, uuid_by_bus: dict[tuple[int, int, int], str]) -> Gpu:
    """Read the properties of a GPU that belong in the inventory."""

    def call(function: Any, *args: Any) -> Any:
        return driver.call(function, device.handle, *args, gpu=device.index)

    limit = call(pynvml.nvmlDeviceGetEnforcedPowerLimit)
    persistence = call(pynvml.nvmlDeviceGetPersistenceMode)
    mode = call(pynvml.nvmlDeviceGetVirtualizationMode)
    switch_links = read_field(driver, device.handle, device.index, SWITCH_LINKS)
    remotes = read_remotes(driver, device, uuid_by_bus, switch_links)
    memory = call(pynvml.nvmlDeviceGetMemoryAffinity, _AFFINITY_WORDS, 0)
    return Gpu(
        index=device.index,
        uuid=device.uuid,
        name=call(pynvml.nvmlDeviceGetName),
        pci_bus_id=_bus_id(call(pynvml.nvmlDeviceGetPciInfo)),
        architecture=_name(device.architecture, ARCHITECTURE_NAMES, "arch"),
        numa_node=_first_bit(memory),
        numa_affinity=_ranges(memory) or NO_NUMA_NODE,
        numa_id=plausible(call(pynvml.nvmlDeviceGetNumaNodeId), 0, 64 * _AFFINITY_WORDS),
        cpu_affinity=_ranges(call(pynvml.nvmlDeviceGetCpuAffinity, _AFFINITY_WORDS)),
        module_id=call(pynvml.nvmlDeviceGetModuleId),
        minor=call(pynvml.nvmlDeviceGetMinorNumber),
        virtualization=_name(mode, VIRTUALIZATION_MODES, "mode"),
        mig=device.mig,
        persistence=persistence == 1 if known(persistence) else persistence,
        power_limit_w=limit / 1000 if known(limit) else limit,
        pcie_gen_max=plausible(call(pynvml.nvmlDeviceGetMaxPcieLinkGeneration), 1, 16),
        pcie_width_max=plausible(call(pynvml.nvmlDeviceGetMaxPcieLinkWidth), 1, 32),
        nvlink_generation=_generation(driver, device),
        switch_links=switch_links,
        remotes=remotes,
        c2c=_c2c(driver, device),
        **read_firmware(driver, device.handle, device.uuid, device.index, device.architecture),
    )


def bus_key(info: Any) -> tuple[int, int, int] | None:
    """Return domain, bus and device of an nvmlPciInfo_t; None if the driver hides the device."""
    if info.domain == 0xFFFFFFFF or info.bus >= 0xFF:
        return None
    return info.domain, info.bus, info.device


def read_remotes(
    driver: Driver, device: Device, uuid_by_bus: dict[tuple[int, int, int], str], switch_links: Maybe[int]
) -> Maybe[tuple[Remote, ...]]:
    """Read the remote end of each link of a GPU, by link index."""
    if isinstance(device.links, Missing):
        return device.links
    if not device.links:
        return ()
    numbers = read_per_link(driver, device, (REMOTE_LINK,), device.links)
    found = []
    for link in range(device.links):
        kind = driver.call(pynvml.nvmlDeviceGetNvLinkRemoteDeviceType, device.handle, link, gpu=device.index)
        info = driver.call(pynvml.nvmlDeviceGetNvLinkRemotePciInfo, device.handle, link, gpu=device.index)
        number = numbers if isinstance(numbers, Missing) else numbers[REMOTE_LINK][link]
        found.append(_remote(kind, info, number, uuid_by_bus, switch_links))
    return tuple(found)


def _remote(
    kind: Any,
    info: Any,
    number: Maybe[int],
    uuid_by_bus: dict[tuple[int, int, int], str],
    switch_links: Maybe[int],
) -> Remote:
    key = None if isinstance(info, Missing) else bus_key(info)
    if key:
        bus_id: Maybe[str] = _bus_id(info)
    else:
        bus_id = info if isinstance(info, Missing) else Missing("hidden by the driver")
    gpu = uuid_by_bus.get(key) if key else None
    remote_kind = REMOTE_KINDS.get(kind, RemoteKind.UNKNOWN) if known(kind) else RemoteKind.UNKNOWN
    if gpu:
        remote_kind = RemoteKind.GPU
    elif remote_kind is RemoteKind.UNKNOWN and known(switch_links) and switch_links > 0 and known(info):
        # Field 147 counts links to switches even if the driver hides the switches themselves.
        remote_kind = RemoteKind.SWITCH
    return Remote(kind=remote_kind, pci_bus_id=bus_id, gpu=gpu, link=plausible(number, 0, 4096))


def _generation(driver: Driver, device: Device) -> Maybe[str]:
    if isinstance(device.links, Missing):
        return device.links
    if not device.links:
        return Missing("no NVLink")
    values = read_per_link(driver, device, (VERSION,), device.links)
    versions: list[Any] = [] if isinstance(values, Missing) else values[VERSION]
    if not any(known(v) and v for v in versions):
        versions = [
            driver.call(pynvml.nvmlDeviceGetNvLinkVersion, device.handle, link, gpu=device.index)
            for link in range(device.links)
        ]
    # The version of an inactive link is 0.
    for version in versions:
        if known(version) and version:
            return NVLINK_GENERATIONS.get(version, f"version {version}")
    unread = [v for v in versions if isinstance(v, Missing)]
    return unread[0] if unread else Missing("not reported while all links are down")


def c2c_links(driver: Driver, device: Device) -> Maybe[int]:
    """Return the number of links between the GPU and its CPU."""
    return plausible(read_field(driver, device.handle, device.index, C2C_COUNT), 0, MAX_LINKS)


def _c2c(driver: Driver, device: Device) -> C2c:
    count = c2c_links(driver, device)
    if isinstance(count, Missing):
        return C2c(count, count, count)
    if not count:
        return C2c(0, 0, Missing("no C2C"))
    values = read_per_link(driver, device, (C2C_STATUS, C2C_SPEED), count)
    if isinstance(values, Missing):
        return C2c(count, values, values)
    states, speeds = values[C2C_STATUS], values[C2C_SPEED]
    if unread := first_missing(states):
        return C2c(count, unread, unread)
    active = [speed for state, speed in zip(states, speeds, strict=True) if state]
    mb_per_s = total(active)
    return C2c(count, len(active), mb_per_s * 1e6 if known(mb_per_s) else mb_per_s)


def _bus_id(info: Any) -> Maybe[str]:
    if isinstance(info, Missing):
        return info
    return f"{info.domain:08X}:{info.bus:02X}:{info.device:02X}.0"


def _name(number: Any, names: dict[int, str], unknown: str) -> Maybe[str]:
    return number if isinstance(number, Missing) else names.get(number, f"{unknown} {number}")


def _bits(words: Any) -> list[int]:
    set_words = [(64 * i, word) for i, word in enumerate(words) if word]  # most words of a mask are 0
    return [first + bit for first, word in set_words for bit in range(64) if word >> bit & 1]


def _first_bit(words: Any) -> Maybe[int]:
    if isinstance(words, Missing):
        return words
    bits = _bits(words)
    return bits[0] if bits else NO_NUMA_NODE


def _ranges(words: Any) -> Maybe[str]:
    """Return a mask of CPUs or NUMA nodes as ranges, such as `0-55,112-167`."""
    return words if isinstance(words, Missing) else ranges(_bits(words))
