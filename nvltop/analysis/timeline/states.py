"""Changes of state of links, GPUs and NIC ports, each with its end, in a list of bounded length."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from nvltop.analysis.link_states import summarize
from nvltop.analysis.uptime import RESET_TOLERANCE_S
from nvltop.model import GpuFrame, LinkState, NicFrame, Severity, known
from nvltop.model.timeline import TimelineEvent

MAX_CHANGES: Final = 500
"""Changes that are kept; the oldest are dropped first."""
REPEAT_S: Final = 60.0
"""Seconds after its end within which the same change is counted as a repetition."""

Subject = tuple[str, str, tuple[int, ...]]
"""Kind of a change, UUID of the GPU or name of the NIC, and links or port."""


class StateChanges:
    """Observes the states of a node and keeps what changed."""

    def __init__(self) -> None:
        self._down: dict[str, frozenset[int]] = {}
        """Links that are down, by UUID."""
        self._gpu_states: dict[str, str] = {}
        self._ports: dict[tuple[str, int], str] = {}
        self._initialised_s: dict[str, float] = {}
        """CLOCK_MONOTONIC at which the driver initialised each GPU, by UUID."""
        self._changes: deque[TimelineEvent] = deque(maxlen=MAX_CHANGES)
        self.version = 0
        """Number of updates of the list."""

    @property
    def changes(self) -> Sequence[TimelineEvent]:
        """The changes, in the order in which they began."""
        return self._changes

    def observe(
        self, gpus: Iterable[GpuFrame], nics: Iterable[NicFrame], mono_s: float, wall_s: float
    ) -> None:
        """Compare the states with those of the last call."""
        for g in gpus:
            self._observe_gpu(g, wall_s)
            self._observe_links(g, wall_s)
            self._observe_reset(g, mono_s, wall_s)
        for f in nics:
            self._observe_port(f, wall_s)

    def _observe_gpu(self, g: GpuFrame, wall_s: float) -> None:
        before = self._gpu_states.get(g.gpu.uuid)
        self._gpu_states[g.gpu.uuid] = g.state
        if before is None or before == g.state:
            return
        subject = ("gpu-state", g.gpu.uuid, ())
        if before != "ok":
            self._end(subject, wall_s, g.state)
        if g.state != "ok":
            reason = f": {g.state_reason}" if g.state_reason and g.state != "lost" else ""
            summary = f"GPU {g.state.upper()}{reason}"
            self._begin(subject, wall_s, Severity.CRITICAL, summary, before, g.state, gpu=g.gpu.uuid)

    def _observe_links(self, g: GpuFrame, wall_s: float) -> None:
        if g.state != "ok":
            return  # its links have the states of before
        summary = summarize(g.links)
        down = summary.in_state(LinkState.DOWN)
        before = self._down.get(g.gpu.uuid)
        if down == before:
            return
        # A link that could not be read is neither down nor up again.
        unread = summary.in_state(LinkState.UNKNOWN)
        if before is None:
            if not unread:
                self._down[g.gpu.uuid] = down
            return
        went, came = down - before, before - down - unread
        if not went and not came:
            return
        self._down[g.gpu.uuid] = (before | went) - came
        for link in sorted(came):
            self._end(("link-state", g.gpu.uuid, (link,)), wall_s, "up")
        for link in sorted(went):
            subject = ("link-state", g.gpu.uuid, (link,))
            self._begin(subject, wall_s, Severity.WARNING, "link DOWN", "up", "down", gpu=g.gpu.uuid)

    def _observe_reset(self, g: GpuFrame, mono_s: float, wall_s: float) -> None:
        if not known(g.uptime_s) or g.state != "ok":
            return
        initialised_s = mono_s - g.uptime_s
        before_s = self._initialised_s.setdefault(g.gpu.uuid, initialised_s)
        if initialised_s <= before_s + RESET_TOLERANCE_S:
            return
        self._initialised_s[g.gpu.uuid] = initialised_s
        self._add(
            TimelineEvent(
                kind="reset",
                began_s=wall_s - g.uptime_s,
                severity=Severity.NOTICE,
                summary="the driver initialised the GPU again: its counters restarted at 0",
                gpu=g.gpu.uuid,
            )
        )

    def _observe_port(self, f: NicFrame, wall_s: float) -> None:
        if not known(f.port.state):
            return
        key = f.nic.device, f.port.port
        before, state = self._ports.get(key), f.port.state
        self._ports[key] = state
        if before is None or before == state:
            return
        subject = ("nic-state", f.nic.device, (f.port.port,))
        if state == "active":
            self._end(subject, wall_s, state)
        elif before == "active":
            self._begin(
                subject,
                wall_s,
                Severity.WARNING,
                f"port {state.upper()}",
                before,
                state,
                nic=f.nic.device,
                port=f.port.port,
            )

    def _begin(
        self,
        subject: Subject,
        wall_s: float,
        severity: Severity,
        summary: str,
        before: str,
        after: str,
        gpu: str | None = None,
        nic: str | None = None,
        port: int | None = None,
    ) -> None:
        """Add a change, or count it with an equal change that ended shortly before."""
        last = self._last(subject)
        if last is not None:
            old = self._changes[last]
            if not old.lasts and wall_s - old.last_s <= REPEAT_S:
                self._changes[last] = replace(
                    old, ended_s=None, lasts=True, count=old.count + 1, after=after, repeated_s=wall_s
                )
                self.version += 1
                return
        links = subject[2] if gpu else ()
        self._add(
            TimelineEvent(
                subject[0],
                wall_s,
                severity,
                summary,
                gpu,
                links,
                nic,
                port,
                lasts=True,
                before=before,
                after=after,
            )
        )

    def _end(self, subject: Subject, wall_s: float, after: str) -> None:
        last = self._last(subject)
        if last is not None and self._changes[last].lasts:
            self._changes[last] = replace(self._changes[last], ended_s=wall_s, lasts=False, after=after)
            self.version += 1

    def _last(self, subject: Subject) -> int | None:
        """Return the index of the newest change of a subject."""
        for i in range(len(self._changes) - 1, -1, -1):
            change = self._changes[i]
            places = change.links if change.gpu else (() if change.port is None else (change.port,))
            if (change.kind, change.gpu or change.nic, places) == subject:
                return i
        return None

    def _add(self, change: TimelineEvent) -> None:
        self._changes.append(change)
        self.version += 1
