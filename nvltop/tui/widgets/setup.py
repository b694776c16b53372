"""The setup screen: one line for each setting, applied at once and written to the file on leaving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.option_list import Option

from nvltop.config.settings import (
    ALERTS,
    EXTRA_COLUMNS,
    HIDEABLE_COLUMNS,
    INTERVALS_S,
    LAYOUTS,
    METERS,
    SPARK_CELLS_S,
    SPARKLINES,
    THEMES,
    UNITS,
    Settings,
)
from nvltop.frozen import frozen
from nvltop.tui.widgets.choices import Choices
from nvltop.tui.widgets.dismiss_once import DismissOnce

NO_METER: Final = "none"
METER_SLOTS: Final = 4
LIST_WIDTH: Final = 44
"""Columns of the list, if the screen has them."""


@frozen
class SettingLine:
    """One setting: its label, its values, and how it is read and changed."""

    label: str
    values: Sequence[object]
    get: Callable[[Settings], object]
    put: Callable[[Settings, object], Settings]

    def turned(self, settings: Settings, by: int) -> Settings:
        """Return settings with the value before or after the current one."""
        now = self.get(settings)
        place = self.values.index(now) if now in self.values else -1
        return self.put(settings, self.values[(place + by) % len(self.values)])


def _plain(words: str, name: str, values: Sequence[object]) -> SettingLine:
    def put(settings: Settings, value: Any) -> Settings:
        return replace(settings, **{name: value})

    return SettingLine(words, values, lambda s: getattr(s, name), put)


def _meter(slot: int) -> SettingLine:
    def get(settings: Settings) -> object:
        return settings.meters[slot] if slot < len(settings.meters) else NO_METER

    def put(settings: Settings, value: object) -> Settings:
        meters = [*settings.meters, *[NO_METER] * METER_SLOTS][:METER_SLOTS]
        meters[slot] = str(value)
        return replace(settings, meters=tuple(m for m in meters if m != NO_METER))

    return SettingLine(f"Meter {slot + 1}", (*METERS, NO_METER), get, put)


COLUMN_TITLES: Final = {
    "name": "NAME", "util": "UTIL%", "mem": "MEM", "power": "PWR", "temp": "TEMP", "share": "%SPD",
    "links": "LINKS", "errors": "ERR", "bus": "BUS ID", "numa": "NUMA",
    "pcie": "PCIe TX, RX", "c2c": "C2C TX, RX", "clock": "SM MHz", "limit": "PWR MAX",
    "throttling": "THROTTLED",
}  # fmt: skip
"""Titles on the screen of the columns that can be hidden or added, by their names in the settings."""


def _shown(column: str) -> SettingLine:
    def put(settings: Settings, value: object) -> Settings:
        hidden = [c for c in settings.hidden_columns if c != column]
        return replace(settings, hidden_columns=tuple(hidden if value else [*hidden, column]))

    label = f"Column {COLUMN_TITLES[column]}"
    return SettingLine(label, (True, False), lambda s: column not in s.hidden_columns, put)


def _extra(column: str) -> SettingLine:
    def put(settings: Settings, value: object) -> Settings:
        others = [c for c in settings.extra_columns if c != column]
        return replace(settings, extra_columns=tuple([*others, column] if value else others))

    label = f"Column {COLUMN_TITLES[column]}"
    return SettingLine(label, (True, False), lambda s: column in s.extra_columns, put)


def _alert(method: str) -> SettingLine:
    def put(settings: Settings, value: object) -> Settings:
        others = [m for m in settings.alert if m != method]
        return replace(settings, alert=tuple([*others, method] if value else others))

    return SettingLine(f"Alert by {method}", (True, False), lambda s: method in s.alert, put)


SETTING_LINES: Final[tuple[SettingLine, ...]] = (
    _plain("Theme", "theme", THEMES),
    _plain("Read every (s)", "interval_s", INTERVALS_S),
    _plain("Units of traffic", "units", UNITS),
    _plain("Below the GPUs", "layout", LAYOUTS),
    _plain("Unicode", "unicode", (True, False)),
    _plain("Sparklines", "sparklines", SPARKLINES),
    _plain("Sparkline column", "sparkline_cell", tuple(SPARK_CELLS_S)),
    *(_meter(slot) for slot in range(METER_SLOTS)),
    *(_shown(column) for column in HIDEABLE_COLUMNS),
    *(_extra(column) for column in EXTRA_COLUMNS),
    *(_alert(method) for method in ALERTS),
    _plain("Snapshot if critical", "snapshot_on_critical", (True, False)),
)


class SetupScreen(DismissOnce[Settings], ModalScreen[Settings]):
    """A list of settings that returns the original settings, so that only changes are written."""

    CSS = f"""
    SetupScreen {{ align: left top; background: transparent; }}
    SetupScreen > Vertical {{ width: {LIST_WIDTH}; height: 100%; background: ansi_default; }}
    SetupScreen > Vertical {{ border-right: solid $nv-title-background; }}
    SetupScreen Static {{ width: 100%; background: $nv-title-background; color: $nv-title-text; }}
    SetupScreen Static {{ text-style: $nv-title-style; }}
    SetupScreen OptionList {{ height: 1fr; border: none; background: ansi_default; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f10,f2,S", "leave", "Done"),
        Binding("right,space", "turn(1)", "Next value"),
        Binding("left", "turn(-1)", "Value before"),
        Binding("j", "next(1)", "Down"),
        Binding("k", "next(-1)", "Up"),
    ]

    def __init__(
        self,
        settings: Settings,
        change: Callable[[Settings], None],
        lines: Sequence[SettingLine] = SETTING_LINES,
    ) -> None:
        super().__init__()
        self._lines = lines
        self._before = self._settings = settings
        self._change = change
        self._list = Choices((Option(line.label) for line in lines), lambda _: self.action_turn(1))

    def compose(self) -> ComposeResult:
        """Show one line for each setting."""
        with Vertical():
            yield Static("Setup: Left, Right change, Esc done", markup=False)
            yield self._list

    def on_resize(self) -> None:
        """Show labels and values as the width allows."""
        self._show_values()

    def on_mount(self) -> None:
        """Show the values, and highlight the first line."""
        self._show_values()
        self._list.highlighted = 0
        self.set_focus(self._list, scroll_visible=False)

    def _show_values(self) -> None:
        for at, text in enumerate(self._texts()):
            if self._list.get_option_at_index(at).prompt != text:
                self._list.replace_option_prompt_at_index(at, text)

    def _texts(self) -> list[str]:
        values = [_words(line.get(self._settings)) for line in self._lines]
        # On a narrow screen the ends of the lines are not visible.
        form = "{1} {0}" if self.app.size.width < LIST_WIDTH else "{0:20} {1}"
        return [form.format(line.label, value) for line, value in zip(self._lines, values, strict=True)]

    def action_turn(self, by: int) -> None:
        """Change the highlighted setting."""
        at = self._list.highlighted
        if at is None:
            return
        self._settings = self._lines[at].turned(self._settings, by)
        self._show_values()
        self._change(self._settings)

    def action_next(self, by: int) -> None:
        """Highlight the next line (1) or the line before (-1)."""
        if by > 0:
            self._list.action_cursor_down()
        else:
            self._list.action_cursor_up()

    def action_leave(self) -> None:
        """Return the original settings."""
        self.dismiss(self._before)


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "[x]" if value else "[ ]"
    return f"{value:g}" if isinstance(value, float) else str(value)
