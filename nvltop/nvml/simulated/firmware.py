"""Firmware versions, board part number and place in the rack of each simulated GPU."""

from __future__ import annotations

from ctypes import c_void_p
from typing import Final

import pynvml

from nvltop.nvml.simulated.abi import (
    ARGUMENT_VERSION_MISMATCH,
    NOT_SUPPORTED,
    SUCCESS,
    FunctionTable,
    SimulatedDriver,
    put_text,
)
from nvltop.nvml.simulated.node import BLACKWELL

NVLINK_FIRMWARE: Final = ((1, 14, 4, 0), (2, 36, 2014, 1862), (3, 7, 0, 0), (4, 0, 9, 0), (5, 0, 9, 0))
"""Microcode type and version, as a GB200 reports them (k8s-test-infra issue 371)."""
FIRMWARE_BRANCH: Final = 580
"""First driver branch of the simulation that reports NVLink firmware; which was the first is not public."""
CHASSIS_SERIAL: Final = b"1820125000042"
SLOT, TRAY = 14, 6
"""Place of a simulated tray in its rack."""


def function_table(driver: SimulatedDriver) -> FunctionTable:
    """Return the functions about firmware and place."""
    node = driver.machine.node
    firmware = driver.machine.firmware

    def nvlink_info(gpu: int, out: int) -> int:
        info = pynvml.c_nvmlNvLinkInfo_v2_t.from_address(out)
        if node.boards[gpu].architecture < BLACKWELL or not node.links[gpu]:
            return NOT_SUPPORTED
        if info.version != pynvml.nvmlNvLinkInfo_v2:
            return ARGUMENT_VERSION_MISMATCH
        info.isNvleEnabled = 0
        info.firmwareInfo.numValidEntries = len(NVLINK_FIRMWARE)
        for entry, version in zip(info.firmwareInfo.firmwareVersion, NVLINK_FIRMWARE, strict=False):
            entry.ucodeType, entry.major, entry.minor, entry.subMinor = version
        return SUCCESS

    def platform(gpu: int, out: int) -> int:
        if not node.clique_id:
            return NOT_SUPPORTED
        info = pynvml.c_nvmlPlatformInfo_v2_t.from_address(out)
        info.chassisSerialNumber = CHASSIS_SERIAL
        info.slotNumber, info.trayIndex, info.hostId, info.moduleId = SLOT, TRAY, 1, gpu + 1
        return SUCCESS

    table: FunctionTable = {
        "nvmlDeviceGetVbiosVersion": (
            (c_void_p, c_void_p, pynvml.c_uint),
            lambda gpu, out, n: put_text(out, n, firmware.get(gpu, vbios(node.boards[gpu].architecture))),
        ),
    }
    if node.branch >= FIRMWARE_BRANCH:
        table["nvmlDeviceGetNvLinkInfo"] = ((c_void_p, c_void_p), nvlink_info)
        table["nvmlDeviceGetPlatformInfo"] = ((c_void_p, c_void_p), platform)
    return table


def vbios(architecture: int) -> str:
    """Return the VBIOS version of the simulated boards of an architecture; the numbers are ours."""
    return f"{86 + architecture}.00.74.00.01"
