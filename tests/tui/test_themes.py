"""The contrast of everything that is drawn, in each theme, on the palettes that terminals have.

Pairs of colours are collected from drawn screens. The default colour on the default background is the
terminal's own choice, which no theme changes.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.color import Color
from rich.style import Style

from nvltop.model import NOT_SUPPORTED
from nvltop.tui.render import themes
from nvltop.tui.render.load_roles import (
    memory_role,
    power_role,
    temperature_role,
    utilization_role,
)
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

XTERM = (
    "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff"
)
"""Defaults of xterm (XTerm-col.ad)."""
VGA = (
    "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff"
)
"""The text mode of VGA, which the Linux console uses (drivers/tty/vt/vt.c)."""
SOLARIZED = (
    "073642 dc322f 859900 b58900 268bd2 d33682 2aa198 eee8d5 "
    "002b36 cb4b16 586e75 657b83 839496 6c71c4 93a1a1 fdf6e3"
)
"""Solarized (ethanschoonover.com/solarized)."""
RICH_SVG = (
    "4b4e55 cc555a 98a84b d0b344 608ab1 98729f 68a0b3 c5c8c6 "
    "9a9b99 ff2627 00823d d08442 1984e9 ff2c7a 398280 fdfdc5"
)
"""Rich's `SVG_EXPORT_THEME`, the colours of pictures in snapshots."""
DARK = {
    "xterm": (XTERM, "e5e5e5", "000000"),
    "linux console": (VGA, "aaaaaa", "000000"),
    "Solarized dark": (SOLARIZED, "839496", "002b36"),
    "SVG": (RICH_SVG, "c5c8c6", "292929"),
}
"""Colours 0 to 15, default colour, and default background of each palette."""
LIGHT = {
    "xterm": (XTERM, "000000", "ffffff"),
    "linux console": (VGA, "000000", "ffffff"),
    "Solarized light": (SOLARIZED, "657b83", "fdf6e3"),
}
SIXTEEN_COLOURS = ("xterm", "linux console")
"""Palettes of terminals that have no more than sixteen colours."""
MIN_CONTRAST = 4.5
HIGH_CONTRAST = 7.0
"""Least contrast of the theme of this name; sixteen colours lack a red that reaches it."""
BRIGHT_BLACK = 8


def contrast(a: str, b: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2.2 defines it."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def rgb(color: Color | None, palette: str, default: str, bold: bool = False) -> str:
    if color is None or color.is_default:
        return default
    if color.number is not None and color.number < 16:
        # Many terminals draw bold text in the bright variant of a colour.
        return palette.split()[color.number + (8 if bold and color.number < 8 else 0)]
    return "".join(f"{part:02x}" for part in color.get_truecolor())


def lowest_contrast(style: Style, palette: tuple[str, str, str]) -> float:
    colours, text, background = palette
    found = []
    for bold in {False, bool(style.bold)}:
        pair = rgb(style.color, colours, text, bold), rgb(style.bgcolor, colours, background)
        found.append(contrast(*pair))
    return min(found)


def drawn(app) -> set[Style]:
    """Return the styles of all characters on the screen that are not blank."""
    return {
        segment.style
        for strip in app.screen._compositor.render_strips()
        for segment in strip
        if segment.text.strip() and segment.style
    }


def roles(app) -> set[str]:
    """Return the roles of all texts of the main screen that are not blank."""
    return {
        role
        for widget in app.main.query(RowsWidget)
        if widget.is_on_screen
        for row in widget._rows
        for text, role in row
        if text.strip()
    }


def too_low(name: str, style: Style, color_system: str) -> list[str]:
    """Return the palettes on which a style of a theme has too little contrast."""
    colours = style.color, style.bgcolor
    assert not any(c and c.number == BRIGHT_BLACK for c in colours), (name, style)
    if all(c is None or c.is_default for c in colours):
        return []
    palettes = DARK if themes.THEMES[name].dark else LIGHT
    if color_system == "standard":
        palettes = {palette: its for palette, its in palettes.items() if palette in SIXTEEN_COLOURS}
    found = {palette: lowest_contrast(style, its) for palette, its in palettes.items()}
    least = HIGH_CONTRAST if name == "high-contrast" and color_system == "256" else MIN_CONTRAST
    return [f"{name}, {palette}: {style} {its:.2f}" for palette, its in found.items() if its < least]


def test_the_contrast_is_that_of_wcag():
    assert contrast("000000", "ffffff") == pytest.approx(21)
    assert contrast("0000ee", "000000") == pytest.approx(2.23, abs=0.02)  # inactive tabs, before
    assert contrast("777777", "ffffff") == pytest.approx(4.48, abs=0.01)


async def test_the_text_of_all_tabs_can_be_read_in_all_themes(app):
    app = app("mixed", "errors", seconds=4.0)
    pages = [[str(number)] for number in range(1, len(TABS) + 1)]
    pages += [["1", "Z"], ["Z", "enter"], ["enter"], ["escape", "escape", "m"], ["escape", "5", "R"]]
    seen = set()
    async with app.run_test(size=(150, 44)) as pilot:
        for keys in pages:
            await pilot.press(*keys)
            await pilot.pause()
            seen |= roles(app)
    assert len(seen) >= 14
    assert seen <= themes.DEFAULT.indexed.keys()
    assert not [
        problem
        for name, theme in themes.THEMES.items()
        for color_system in ("256", "standard")
        for style in theme.styles(color_system).values()
        for problem in too_low(name, style, color_system)
    ]


@pytest.mark.parametrize("color_system", ["256", "standard"])
async def test_menus_and_prompts_can_be_read_in_all_themes(app, monkeypatch, color_system):
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", color_system)
    app = app("rtx3090-pair", "training")
    problems = []
    async with app.run_test(size=(100, 24)) as pilot:
        for key in ("slash", "f1", "f2"):
            await pilot.press(key)
            for name in themes.THEMES:
                app.change_settings(replace(app.settings, theme=name))
                await pilot.pause()
                for style in drawn(app):
                    problems += too_low(name, style, color_system)
            await pilot.press("escape")
    assert not problems


@pytest.mark.parametrize("name", themes.THEMES)
def test_rows_that_mean_different_things_look_different(name):
    theme = themes.THEMES[name]
    for styles in (theme.indexed, theme.basic):
        assert len({styles[role] for role in ("", "title", "selected", "unfocused")}) == 4
        assert styles["tab"] != styles["tab-current"]
        assert len({styles[role] for role in ("", "warn", "error")}) == 3


def test_load_is_coloured_by_its_share_of_the_limit():
    assert [utilization_role(u) for u in (0.0, 50.0, 100.0)] == ["load0", "load1", "load1"]
    assert [memory_role(u, 100.0) for u in (1.0, 50.0, 96.0, 99.0)] == ["load0", "load1", "load2", "load3"]
    assert [power_role(u, 700.0) for u in (60.0, 300.0, 690.0)] == ["load0", "load1", "load2"]
    assert [temperature_role(u) for u in (40.0, 80.0, 88.0)] == ["load1", "load2", "load3"]
    assert temperature_role(70.0, slowed_by_heat=True) == "load3"
    # An A100 slows down at 89, a P100 at 82 degrees.
    assert [temperature_role(u, 89) for u in (78.0, 79.0, 88.0, 89.0)] == ["load1", "load2", "load2", "load3"]
    assert [temperature_role(u, 82) for u in (71.0, 72.0, 82.0)] == ["load1", "load2", "load3"]
    assert temperature_role(85.0, NOT_SUPPORTED) == "load3"


@pytest.mark.parametrize("unread", [power_role, memory_role])
def test_an_unknown_load_has_no_colour(unread):
    from nvltop.model import NOT_READ

    assert unread(NOT_READ, 1.0) == unread(1.0, NOT_READ) == ""
    assert utilization_role(NOT_READ) == temperature_role(NOT_READ) == ""
