"""Firmware, board, place and temperature limit of one GPU, which never change: read with the inventory."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref
from typing import Any, Final

import pynvml

from nvltop.model import NOT_READ, Maybe, Missing, known
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.driver import Driver, plausible
from nvltop.text import clean

UCODE_NAMES: Final = {1: "MSE", 2: "NETIR", 3: "UPHY", 4: "CLN", 5: "DLN"}
"""Names of NVML_NVLINK_FIRMWARE_UCODE_TYPE_*, shortened as NVIDIA's tools do."""
SLOWDOWN_RANGE_C: Final = 60, 130
"""Lowest and highest plausible threshold; newer drivers may return a margin, such as -2, in its place."""
ADA: Final = 8
"""Value of nvmlDeviceArchitecture_t since which drivers report margins to limits, not thresholds."""
NO_FIRMWARE: Final = Missing("the driver lists no NVLink firmware")
NO_SERIAL: Final = Missing("the platform reports no serial number")
NO_SLOWDOWN: Final = Missing("the driver reports no such threshold")
ABSENT: Final = frozenset({NO_FIRMWARE, NO_SERIAL})
"""Reasons of values that the driver reported as absent."""


def read_firmware(
    driver: Driver, handle: Any, uuid: str, gpu: int, architecture: Maybe[int] = NOT_READ
) -> dict[str, Any]:
    """Return the fields of a `Gpu` that never change; each that cannot be read has its reason.

    What was read is not read again; what could not be read is tried again with the next inventory.
    """

    def call(function: Callable[..., Any], *args: Any) -> Any:
        return driver.call(function, handle, *args, gpu=gpu)

    cached = driver.firmware.setdefault(uuid, {})
    fields = dict(cached)
    if known(architecture) and architecture >= ADA:
        fields["slowdown_c"] = NO_SLOWDOWN
    for name, read in READERS.items():
        if name not in fields:
            values = read(call)
            fields |= values
            if all(known(v) or v in ABSENT for v in values.values()):
                cached.update(values)
    return fields


def _vbios(call: Callable[..., Any]) -> dict[str, Any]:
    return {"vbios": call(pynvml.nvmlDeviceGetVbiosVersion)}


def _board(call: Callable[..., Any]) -> dict[str, Any]:
    return {"board_part_number": call(pynvml.nvmlDeviceGetBoardPartNumber)}


def _nvlink(call: Callable[..., Any]) -> dict[str, Any]:
    info = pynvml.c_nvmlNvLinkInfo_v2_t()
    failure = call(pynvml.nvmlDeviceGetNvLinkInfo, byref(info))
    if isinstance(failure, Missing):
        return {"nvlink_firmware": failure, "nvlink_encryption": failure}
    count = min(info.firmwareInfo.numValidEntries, pynvml.NVML_NVLINK_FIRMWARE_VERSION_LENGTH)
    versions = {
        f"{UCODE_NAMES.get(v.ucodeType, f'type {v.ucodeType}')} {v.major}.{v.minor}.{v.subMinor}": None
        for v in info.firmwareInfo.firmwareVersion[:count]
    }
    return {
        "nvlink_firmware": ", ".join(versions) or NO_FIRMWARE,
        "nvlink_encryption": bool(info.isNvleEnabled),
    }


def _platform(call: Callable[..., Any]) -> dict[str, Any]:
    info = pynvml.c_nvmlPlatformInfo_v2_t()
    failure = call(pynvml.nvmlDeviceGetPlatformInfo, byref(info))
    if isinstance(failure, Missing):
        return dict.fromkeys(("chassis_serial", "slot", "tray", "host_id"), failure)
    # `pynvml` declares the numbers as characters, and decodes them when they are read as members.
    raw, layout = bytes(info), pynvml.c_nvmlPlatformInfo_v2_t
    serial = layout.chassisSerialNumber
    return {
        "chassis_serial": _serial(raw[serial.offset : serial.offset + serial.size]),
        "slot": raw[layout.slotNumber.offset],
        "tray": raw[layout.trayIndex.offset],
        "host_id": raw[layout.hostId.offset],
    }


def _serial(raw: bytes) -> Maybe[str]:
    try:
        return clean(raw.partition(b"\0")[0].decode("ascii")) or NO_SERIAL
    except UnicodeDecodeError:
        return Missing("the serial number is not text")


def _slowdown(call: Callable[..., Any]) -> dict[str, Any]:
    kind = pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
    limit = plausible(call(pynvml.nvmlDeviceGetTemperatureThreshold, kind), *SLOWDOWN_RANGE_C)
    return {"slowdown_c": NO_SLOWDOWN if limit in UNSUPPORTED else limit}


READERS: Final[dict[str, Callable[[Callable[..., Any]], dict[str, Any]]]] = {
    "vbios": _vbios,
    "board_part_number": _board,
    "nvlink_firmware": _nvlink,
    "chassis_serial": _platform,
    "slowdown_c": _slowdown,
}
"""Functions that read fields with one call each, by the first of these fields."""
