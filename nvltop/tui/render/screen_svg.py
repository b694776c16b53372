"""An SVG picture of the screen."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME

COLUMN_UNITS: Final = 12.2
"""Width of a column in Rich's SVG, in SVG units."""
_CHART_TEXT: Final = re.compile(
    r'<text class="([^"]*)" x="([0-9.]+)" y="([0-9.]+)"[^>]*>([^<]*[\u2800-\u28ff][^<]*)</text>'
)
_WORDS_AND_DOTS: Final = re.compile(r"[\u2801-\u28ff]|[^\s\xa0\u2800-\u28ff]+")
SVG_FORMAT: Final = """\
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
"""SVG template. Rich's own one loads fonts from the network, which reveals who opens a picture, and drops
blanks at the beginning of a text. At this font size a character of the first two fonts is as wide as a
column, even in viewers that ignore `textLength`."""


class Area(NamedTuple):
    """A rectangle of the screen, and its lines, each as wide as the rectangle."""

    x: int
    y: int
    width: int
    lines: Sequence[Iterable[Segment]]


def svg(width: int, height: int, areas: Sequence[Area], dark: bool = True) -> str:
    """Draw areas, which do not overlap, as an SVG picture of `width` columns and `height` lines.

    `dark` chooses the background, which must fit the theme of the areas.
    """
    console = Console(
        width=width, file=io.StringIO(), record=True, force_terminal=True, color_system="truecolor",
        legacy_windows=False,
    )  # fmt: skip
    for y in range(height):
        line: list[Segment] = []
        column = 0
        for area in sorted(areas, key=lambda area: area.x):
            if area.y <= y < area.y + len(area.lines):
                line.append(Segment(" " * (area.x - column)))
                line += area.lines[y - area.y]
                column = area.x + area.width
        line.append(Segment(" " * (width - column)))
        console.print(Segments([*line, Segment.line()]), end="", soft_wrap=True)
    colors = SVG_EXPORT_THEME if dark else DEFAULT_TERMINAL_THEME
    picture = console.export_svg(title="nvltop", code_format=SVG_FORMAT, unique_id="nvltop", theme=colors)
    return _CHART_TEXT.sub(_by_column, picture)


def _by_column(text: re.Match[str]) -> str:
    """Return one SVG text per character of a chart, each at its own column.

    Monospaced fonts lack these characters, so viewers take them from a wider font.
    """
    style, x, y, shown = text.groups()
    placed = [
        (float(x) + p.start() * COLUMN_UNITS, html.escape(p[0]))
        for p in _WORDS_AND_DOTS.finditer(html.unescape(shown))
    ]
    return "".join(f'<text class="{style}" x="{at:g}" y="{y}">{text}</text>' for at, text in placed)
