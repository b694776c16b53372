"""Checks of our own numbers, so that what the driver gets wrong is said and not shown as fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nvltop.analysis.rates import IMPLAUSIBLE
from nvltop.model import Finding, GpuFrame, Missing, Scope, known, or_none

OFF: Final = 0.10
"""TX of one end and RX of the other are read milliseconds apart, over spans of the same length."""
ENOUGH: Final = 0.02
"""Share of the speed below which the traffic is too little to judge by."""
COMPARE: Final = "compare with `nvidia-smi nvlink -gt d`, and report it with the driver version"
TIMES: Final = 8
"""Spans in a row that two ends must differ for: traffic that starts or stops looks so for one."""


class SelfCheck:
    """Remembers for how long each direct link's two ends have disagreed."""

    def __init__(self) -> None:
        self._disagreed: dict[tuple[str, int], tuple[float, int]] = {}
        """End of the last span judged, and how many in a row were off, by sending GPU and link."""

    def judge(self, gpus: Sequence[GpuFrame]) -> list[Finding]:
        """Return what is doubtful in these numbers."""
        found = []
        by_uuid = {g.gpu.uuid: g for g in gpus}
        for g in gpus:
            if known(g.nvlink.scope) and g.nvlink.scope is Scope.GPU:
                found.append(_total_only(g))
            for link in g.links:
                rates = (link.tx_bytes_per_s, link.rx_bytes_per_s)
                if any(isinstance(r, Missing) and r == IMPLAUSIBLE for r in rates):
                    found.append(_implausible(g, link.index))
            found += self._ends(g, by_uuid)
        return found

    def _ends(self, g: GpuFrame, by_uuid: dict[str, GpuFrame]) -> list[Finding]:
        found = []
        for link in g.links:
            there = by_uuid.get(link.remote.gpu or "")
            number = link.remote.link
            if there is None or not known(number) or number >= len(there.links) or not g.span_s:
                continue
            sent, received = link.tx_bytes_per_s, there.links[number].rx_bytes_per_s
            speed = link.speed_bytes_per_s
            if not (known(sent) and known(received) and known(speed)):
                continue
            key = (g.gpu.uuid, link.index)
            judged_s, times = self._disagreed.get(key, (0.0, 0))
            if g.span_s[1] > judged_s:
                most = max(sent, received)
                # Pauses of the traffic say nothing either way.
                if most > ENOUGH * speed:
                    times = times + 1 if abs(sent - received) > OFF * most else 0
                self._disagreed[key] = (g.span_s[1], times)
            if times >= TIMES:
                found.append(
                    Finding(
                        rule="implausible-rate",
                        severity="unknown",
                        gpu=g.gpu.uuid,
                        link=link.index,
                        summary=(
                            f"GPU {g.gpu.index} link {link.index} sends {sent / 1e9:.1f} GB/s, but its other"
                            f" end, GPU {there.gpu.index} link {number}, receives {received / 1e9:.1f} GB/s:"
                            " one of the counters is wrong"
                        ),
                        evidence={"tx_bytes_per_s": sent, "rx_bytes_per_s": received, "spans": times},
                        next_step=COMPARE,
                    )
                )
        return found


def _total_only(g: GpuFrame) -> Finding:
    return Finding(
        rule="gpu-total-only",
        severity="info",
        gpu=g.gpu.uuid,
        link=None,
        summary=f"The driver tells only the total traffic of GPU {g.gpu.index}, not that of each link",
        evidence={"scope": "gpu"},
        next_step="a newer driver may count per link",
    )


def _implausible(g: GpuFrame, link: int) -> Finding:
    return Finding(
        rule="implausible-rate",
        severity="unknown",
        gpu=g.gpu.uuid,
        link=link,
        summary=f"GPU {g.gpu.index} link {link} counts more than it can carry; that is not shown as a rate",
        evidence={"speed_bytes_per_s": or_none(g.links[link].speed_bytes_per_s)},
        next_step=COMPARE,
    )
