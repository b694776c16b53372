"""A picture (SVG) of the main screen with names removed: what the person saw, for others."""

from __future__ import annotations

import asyncio
import io
import re
from copy import copy
from dataclasses import fields
from typing import Final

from rich.console import Console
from rich.segment import Segment, Segments

from nvltop.analysis.monitor import Monitor
from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Item, Tick
from nvltop.record.redact import Redactor
from nvltop.snapshot.bundle import redacted
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.widgets.rows_widget import RowsWidget

WIDTH: Final = 120
MIN_HEIGHT: Final = 36
PER_GPU: Final = 2
"""RowsWidget that a GPU takes in the list and in the matrix."""
COLUMN: Final = 12.2
"""Units that Rich gives to a column."""
_BRAILLE: Final = re.compile(
    r'<text class="([^"]*)" x="([0-9.]+)" y="([0-9.]+)"[^>]*>([^<]*[\u2800-\u28ff][^<]*)</text>'
)
_PIECES: Final = re.compile(r"[\u2801-\u28ff]|[^\s\xa0\u2800-\u28ff]+")
FORMAT: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" xml:space="preserve">
<style>
.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; \
font-size: 20.27px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""Rich's own loads fonts from elsewhere, which tells others of whoever looks at a picture; and some viewers
drop blanks at the beginning of a text that is not said to keep them. At this size a character of the first
two fonts is as wide as a column, also for viewers that do not stretch texts."""


class FixedSource:
    """A source that has told everything."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick

    def fileno(self) -> int:
        """Return -1: nothing will arrive."""
        return -1

    def drain(self) -> list[Item]:
        """Return nothing."""
        return []

    def tick(self) -> Tick:
        """Return the moment."""
        return self._tick

    def set_interval(self, interval_s: float) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def draw(monitor: Monitor, history: RateHistory, redact: Redactor, settings: Settings) -> str:
    """Draw a moment as the screen would have shown it."""
    from nvltop.tui.shell.app import Nvltop

    frame = monitor.frame()
    app = Nvltop(FixedSource(frame.tick), settings, look=(monitor, history))

    async def shown() -> str:
        height = max(MIN_HEIGHT, MIN_HEIGHT // 2 + PER_GPU * len(frame.gpus))
        async with app.run_test(size=(WIDTH, height)) as pilot:
            await pilot.pause()
            return take(app.main, app.view, redact)

    return asyncio.run(shown())


def take(main: MainScreen, view: ViewState, redact: Redactor) -> str:
    """Draw the main screen as it stands, but with names removed.

    The screen is painted from a redacted frame and then from its own again, before anything is sent to
    the terminal. What painting has changed of view and tab meanwhile is put back.
    """
    before, tab = copy(view), main.shown
    state = dict(vars(tab))
    # What is not painted again would keep its names.
    rows = [(lines, lines.blank()) for lines in main.query(RowsWidget)]
    view.frame = redacted(view.frame, redact, uuids=True)
    view.gpus = tuple(g for old in view.gpus for g in view.frame.gpus if g.gpu.uuid == old.gpu.uuid)
    view.alias = redact.alias
    tab.forget()
    try:
        main.draw()
        return _svg(main)
    finally:
        for field in fields(view):
            setattr(view, field.name, getattr(before, field.name))
        vars(tab).update(state)
        for lines, old in rows:
            lines.put_back(old)
        main.draw()


def _svg(main: MainScreen) -> str:
    width, height = main.size
    console = Console(
        width=width, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    shown = [lines for lines in main.query(RowsWidget) if lines.region and lines.is_on_screen]
    for y in range(height):
        line: list[Segment] = []
        at = 0
        for lines in sorted(shown, key=lambda lines: lines.region.x):
            region = lines.region
            if region.y <= y < region.bottom:
                line.append(Segment(" " * (region.x - at)))
                strip = lines.render_line(y - region.y).crop_extend(0, region.width, None)
                line += strip
                at = region.right
        line.append(Segment(" " * (width - at)))
        console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)
    svg = console.export_svg(title="nvltop", code_format=FORMAT, unique_id="nvltop")
    return _BRAILLE.sub(_placed, svg)


def _placed(line: re.Match[str]) -> str:
    """Give each character of a chart its column.

    No font of fixed width has them, so they come from another one, which is wider.
    """
    import html

    style, x, y, shown = line.groups()
    placed = [
        (float(x) + p.start() * COLUMN, html.escape(p[0])) for p in _PIECES.finditer(html.unescape(shown))
    ]
    return "".join(f'<text class="{style}" x="{at:g}" y="{y}">{text}</text>' for at, text in placed)
