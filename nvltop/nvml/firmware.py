"""Firmware, board and place of one GPU: versions that comparisons need, read with the inventory."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import byref
from typing import Any, Final

import pynvml

from nvltop.model import Maybe, Missing, known
from nvltop.nvml.driver import UNSUPPORTED, Driver
from nvltop.text import clean

UCODE_NAMES: Final = {1: "MSE", 2: "NETIR", 3: "UPHY", 4: "CLN", 5: "DLN"}
"""Names of NVML_NVLINK_FIRMWARE_UCODE_TYPE_*, shortened as NVIDIA's tools do."""
NO_FIRMWARE: Final = Missing("the driver lists no NVLink firmware")
NO_SERIAL: Final = Missing("the platform reports no serial number")
PERMANENT: Final = UNSUPPORTED | {NO_FIRMWARE, NO_SERIAL}
"""Reasons for which another reading fails again."""


def read_firmware(driver: Driver, handle: Any, uuid: str, gpu: int) -> dict[str, Any]:
    """Return the fields of a `Gpu` about firmware and place; each that cannot be read has its reason.

    They are read once, and again only after a failure that may be temporary.
    """
    cached = driver.firmware.get(uuid)
    if cached is None:
        cached = _read(driver, handle, gpu)
        if all(known(v) or v in PERMANENT for v in cached.values()):
            driver.firmware[uuid] = cached
    return cached


def _read(driver: Driver, handle: Any, gpu: int) -> dict[str, Any]:

    def call(function: Callable[..., Any], *args: Any) -> Any:
        return driver.call(function, handle, *args, gpu=gpu)

    return {
        "vbios": call(pynvml.nvmlDeviceGetVbiosVersion),
        "board_part_number": call(pynvml.nvmlDeviceGetBoardPartNumber),
        **_nvlink(call),
        **_platform(call),
    }


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
