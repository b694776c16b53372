"""Events of the driver."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the driver reported on its own."""

    mono_s: float
    wall_s: float
    gpu: str | None
    kind: str
    """`xid`, `recovery-action`, `gpu-unavailable`, …"""
    code: int
    """The Xid, or the driver's number for another kind."""


@dataclass(frozen=True, slots=True)
class Listening:
    """The worker begins to wait for the driver's events; earlier ones are not reported."""

    mono_s: float
    wall_s: float
    gpus: int
    """Number of GPUs whose driver reports events."""
