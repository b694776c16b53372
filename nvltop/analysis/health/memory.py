"""What rules have to remember of earlier moments: bounded by the number of GPUs and links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nvltop.model import GpuFrame, LinkBer


@dataclass(slots=True)
class Memory:
    """Facts of this run that a single frame does not show."""

    lit: dict[str, set[int]] = field(default_factory=dict)
    """Links that were active at some time, by GPU."""
    new_link_s: float | None = None
    """CLOCK_MONOTONIC at which a link was last seen active for the first time, after the first look."""
    answered: set[str] = field(default_factory=set)
    """GPUs whose gauges could be read at some time."""
    heard_s: float | None = None
    """CLOCK_MONOTONIC of the newest reading of any GPU."""

    first_ber: dict[str, LinkBer] = field(default_factory=dict)
    """The first bit error rates read of each GPU."""

    disagreed: dict[tuple[str, int], tuple[float, int]] = field(default_factory=dict)
    """End of the last span judged, and for how many looks the ends of a link differ, by sender."""

    def note(self, gpus: Sequence[GpuFrame], now_s: float) -> None:
        """Take a moment."""
        for g in gpus:
            if not g.links or "states" not in g.age_s:
                continue
            before = self.lit.get(g.gpu.uuid)
            now = {link.index for link in g.links if link.active}
            if before is None:
                self.lit[g.gpu.uuid] = now
            elif now - before:
                before |= now
                self.new_link_s = now_s
        for g in gpus:
            if g.state == "ok" and "gauges" in g.age_s:
                self.answered.add(g.gpu.uuid)
            if g.age_s:
                heard = now_s - min(g.age_s.values())
                self.heard_s = heard if self.heard_s is None else max(self.heard_s, heard)
