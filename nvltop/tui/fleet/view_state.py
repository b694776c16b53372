"""The input of the renderers of many nodes: the newest view and the state of the screen."""

from __future__ import annotations

from dataclasses import field

from nvltop.fleet.model import Detail, FleetView, Node
from nvltop.frozen import mutable
from nvltop.tui.render.view_state import ViewState


@mutable
class FleetViewState(ViewState):
    """The state of the screen of many nodes."""

    fleet: FleetView = field(default_factory=FleetView)
    detail: Detail | None = None
    """The GPUs or links that the open page shows."""
    problem: str = ""
    """Why the last refresh failed; empty if it did not."""
    problem_since_s: float = 0.0
    """CLOCK_MONOTONIC of the first refresh that failed."""
    received_s: float = 0.0
    """CLOCK_MONOTONIC of the last answer."""
    interval_s: float = 5.0
    effective_s: float = 0.0
    """Seconds between two refreshes; more than `interval_s` if the server is slow."""
    source: str = ""
    """Address of the server, or what is simulated."""

    @property
    def why_empty(self) -> str:
        """The reason why no node is known; empty if one is, or if there is none."""
        if self.received_s:
            return ""
        return (
            f"the server could not be asked: {self.problem}" if self.problem else f"waiting for {self.source}"
        )

    @property
    def old_s(self) -> float:
        """Seconds since the last answer; 0 before the first one."""
        return max(0.0, self.now_s - self.received_s) if self.received_s else 0.0

    def node(self, key: str) -> Node | None:
        """Return a node."""
        return next((node for node in self.fleet.nodes if node.key == key), None)

    def name(self, key: str) -> str:
        """Return the name of a node."""
        node = self.node(key)
        return node.name if node else key
