"""Events of the driver."""

from __future__ import annotations

from nvltop.frozen import frozen


@frozen
class Event:
    """Something that the driver reported on its own."""

    mono_s: float
    wall_s: float
    gpu: str | None
    kind: str
    """`xid`, `recovery-action`, `gpu-unavailable`, or `operational` for such an event without an Xid."""
    code: int
    """The Xid, or the driver's number for another kind."""
    module: str = ""
    """Part of the GPU that reported it, such as `GPU-NVLINK`; only for GPU Operational Events."""
    module_code: int = 0
    """Number of the event within its module."""
    severity: str = ""
    """`fatal`, `recoverable`, … as the driver classifies an operational event."""
    attributes: tuple[str, ...] = ()
    """Attributes of an operational event and of its group, such as `primary`; see `nvml/events.py`."""

    @property
    def details(self) -> str:
        """What an operational event says: `GPU-NVLINK event 0x0005, fatal, primary`; empty for others."""
        if not self.module:
            return ""
        name = f"{self.module} event {self.module_code:#06x}"
        return ", ".join(filter(None, (name, self.severity, *self.attributes)))

    @property
    def marked(self) -> str | None:
        """`propagated` if the driver says that another source is the cause, `primary` if this event is."""
        return next((name for name in ("propagated", "primary") if name in self.attributes), None)


@frozen
class Listening:
    """The worker begins to wait for the driver's events; earlier ones are not reported."""

    mono_s: float
    wall_s: float
    gpus: int
    """Number of GPUs whose driver reports events."""
