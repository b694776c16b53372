"""Values of one GPU that change rarely: fabric, recovery action, bandwidth mode, remapped rows, uptime."""

from __future__ import annotations

import time
from ctypes import byref
from dataclasses import field
from typing import Any, Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import NOT_SUPPORTED, Fabric, Maybe, Missing, first_missing, known, total
from nvltop.model.missing import UNSUPPORTED
from nvltop.nvml.device import Device, c2c_links, read_field, read_per_link
from nvltop.nvml.driver import Driver, UnsupportedCache, reason
from nvltop.nvml.uptime import UptimeReader

RECOVERY_ACTION: Final = 230
"""Field id of the recovery action (NVML_FI_DEV_GET_GPU_RECOVERY_ACTION)."""
FABRIC_COMPLETED: Final = 3
FABRIC_STATES: Final = {1: "not-started", 2: "in-progress", FABRIC_COMPLETED: "completed"}
"""Names of nvmlGpuFabricState_t."""
HEALTH_SUMMARIES: Final = {1: "healthy", 2: "unhealthy", 3: "limited-capacity"}
"""Names of the health summary in nvmlGpuFabricInfo_v3_t."""
BANDWIDTH_MODES: Final = {0: "full", 1: "off", 2: "min", 3: "half", 4: "3quarter"}
"""Names of the NVLink bandwidth modes (NVML_GPU_NVLINK_BW_MODE_*)."""

NOT_REPORTED_BY_DRIVER: Final = Missing("not reported by this driver")
NOT_REPORTED_BY_GPU: Final = Missing("not reported by this GPU")
NOT_SET_UP: Final = Missing("fabric is not set up yet")
C2C_COUNTS: Final = {"c2c_crc_errors": 231, "c2c_replays": 232, "c2c_back_to_back_replays": 233}
"""Field ids of the error counters of the links to the CPU; the scope id is the link."""
C2C_POWER: Final = 234
"""Field id of the power state of such a link: 0 for full, 1 for low."""
NO_CLUSTER: Final = Missing("none: not part of a multi-node fabric")


@mutable
class FabricReader:
    """Reader of the fabric state and related values of one GPU."""

    driver: Driver
    device: Device
    _unsupported: UnsupportedCache = field(default_factory=UnsupportedCache, init=False)
    _uptime: UptimeReader = field(init=False)
    _c2c_links: Maybe[int] | None = field(default=None, init=False)
    """Number of links to the CPU; None before it was read."""

    def __post_init__(self) -> None:
        self._uptime = UptimeReader(self.driver, self.device)

    def read(self) -> Fabric:
        """Read all values; each that cannot be read has a reason of its own."""
        now = time.monotonic()
        info = self._unsupported.get("fabric", now, self._fabric_info)
        remapped = self._unsupported.get("remapped rows", now, self._remapped_rows)
        action = self._unsupported.get("recovery", now, self._recovery_action)
        if action in UNSUPPORTED and action != NOT_SUPPORTED:
            # Drivers without this field fail in several ways, also with "invalid argument".
            action = NOT_REPORTED_BY_DRIVER
        mode = self._unsupported.get("bandwidth mode", now, self._bandwidth_mode)
        if isinstance(remapped, Missing):
            remapped = (remapped,) * 4
        _, rows, pending, failed = remapped
        common = {
            "recovery_action": action,
            "bandwidth_mode": mode,
            "remap_pending": pending if isinstance(pending, Missing) else bool(pending),
            "remap_failed": failed if isinstance(failed, Missing) else bool(failed),
            "remapped_rows": rows,
            "initialised_s": self._uptime.read(now),
            **self._c2c(),
        }
        if isinstance(info, Missing):
            return Fabric(info, info, info, info, info, info, **common)
        summary = getattr(info, "healthSummary", 0)
        status = reason(info.status).reason if info.status else "success"
        return Fabric(
            state=FABRIC_STATES.get(info.state, f"state {info.state}"),
            status=status if info.state == FABRIC_COMPLETED else NOT_SET_UP,
            health_mask=info.healthMask,
            health_summary=HEALTH_SUMMARIES.get(summary) or NOT_REPORTED_BY_GPU,
            clique_id=info.cliqueId,
            cluster_uuid=_format_uuid(bytes(info.clusterUuid)),
            **common,
        )

    def _call(self, function: Any, *args: Any) -> Any:
        return self.driver.call(function, self.device.handle, *args, gpu=self.device.index)

    def _fabric_info(self) -> Any:
        answer: Any = NOT_SUPPORTED
        for struct in (pynvml.c_nvmlGpuFabricInfo_v3_t, pynvml.c_nvmlGpuFabricInfo_v2_t):
            info = struct()
            answer = self._call(pynvml.nvmlDeviceGetGpuFabricInfoV, byref(info))
            if known(answer):
                return info if info.state else NOT_SUPPORTED
        return answer

    def _remapped_rows(self) -> Any:
        return self._call(pynvml.nvmlDeviceGetRemappedRows)

    def _recovery_action(self) -> Maybe[int]:
        return read_field(self.driver, self.device.handle, self.device.index, RECOVERY_ACTION)

    def _c2c(self) -> dict[str, Any]:
        """Return the values about the links to the CPU; none for a GPU without them."""
        if self._c2c_links is None or isinstance(self._c2c_links, Missing):
            self._c2c_links = c2c_links(self.driver, self.device)
        if isinstance(self._c2c_links, Missing) or not self._c2c_links:
            return {}
        values = read_per_link(self.driver, self.device, (*C2C_COUNTS.values(), C2C_POWER), self._c2c_links)
        if isinstance(values, Missing):
            return dict.fromkeys((*C2C_COUNTS, "c2c_power_state"), values)
        states = values[C2C_POWER]
        found: dict[str, Any] = {name: total(values[field_id]) for name, field_id in C2C_COUNTS.items()}
        power = first_missing(states)
        return found | {"c2c_power_state": power or ("low" if any(states) else "full")}

    def _bandwidth_mode(self) -> Any:
        mode = pynvml.c_nvmlNvlinkGetBwMode_v1_t()
        mode.version = pynvml.nvmlNvlinkGetBwMode_v1
        answer = self._call(pynvml.nvmlDeviceGetNvlinkBwMode, byref(mode))
        if isinstance(answer, Missing):
            return answer
        return BANDWIDTH_MODES.get(mode.bwMode, f"mode {mode.bwMode}")


def _format_uuid(raw: bytes) -> Maybe[str]:
    """Return a cluster UUID as text; it is all zero on a node that is not part of a multi-node fabric."""
    if not any(raw):
        return NO_CLUSTER
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
