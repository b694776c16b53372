"""What the painters are given: the newest frame, the history, and what the user is looking at."""

from __future__ import annotations

from dataclasses import dataclass, field

from nvltop.analysis.history import History
from nvltop.model import Frame, GpuFrame, Inventory, Tick
from nvltop.tui.glyphs import UNICODE, Glyphs

NOTHING = Frame(Inventory(0.0, 0.0), Tick(0.0, 0.0, 0.25, "starting"), 0.0)


@dataclass(slots=True)
class View:
    """The state of the screen."""

    frame: Frame = NOTHING
    history: History = field(default_factory=History)
    glyphs: Glyphs = UNICODE
    gpus: tuple[GpuFrame, ...] = ()
    """The GPUs to list, in order."""
    gpu: int = 0
    """Position of the selected GPU in `gpus`."""
    link: int = 0
    """Position of the selected link among its GPU's."""
    links_focused: bool = False
    show_links: bool = False
    """On a screen too narrow for both: the links instead of the matrix."""
    paused: bool = False
    now_s: float = 0.0
    """CLOCK_MONOTONIC of the newest tick, which goes on while the picture is paused."""

    @property
    def selected(self) -> GpuFrame | None:
        """The selected GPU."""
        return self.gpus[self.gpu] if self.gpu < len(self.gpus) else None
