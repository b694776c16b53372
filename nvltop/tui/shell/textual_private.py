"""Every use of Textual's private names, behind names of our own.

Textual has no public way to learn what is on the screen, to exchange its key parser, to read keys on the
event loop, or to handle an exception of a message handler. Another release of Textual may lack a private
name. `missing_names` returns those; if there is any, Textual draws and reads keys by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar

from rich.console import Console, RenderableType
from textual import events
from textual.app import App
from textual.command import CommandPalette
from textual.driver import Driver
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Button, Input, OptionList

Returned = TypeVar("Returned")


def _class(module: str, name: str) -> Any:
    """Return a class of a private module; an empty class if there is none."""
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        return type(name, (), {})


if TYPE_CHECKING:
    from textual._compositor import Compositor, CompositorUpdate
    from textual._xterm_parser import XTermParser
else:
    Compositor = _class("textual._compositor", "Compositor")
    CompositorUpdate = _class("textual._compositor", "CompositorUpdate")
    XTermParser = _class("textual._xterm_parser", "XTermParser")

PRIVATE_NAMES: Final[tuple[tuple[type, tuple[str, ...]], ...]] = (
    (XTermParser, ("feed", "tick", "_sequence_to_key_events", "parse_mouse_code")),
    (Driver, ("_app", "_loop", "_mouse", "_size", "_auto_restart")),
    (CommandPalette, ("_action_command_list", "_select_or_command", "_action_escape")),
    (App, ("_handle_exception", "_driver", "_display", "_sync_available", "_exit", "_check_bindings")),
    (Screen, ("_layout_required", "_compositor")),
    (Compositor, ("visible_widgets",)),
    (CompositorUpdate, ("render_segments",)),
)  # fmt: skip
"""The private names, and names of private classes, that are overridden or used here."""
DIRECT_VARIABLE: Final = "NVLTOP_DIRECT"
"""Environment variable that, set to 0, leaves drawing and keys to Textual: for bug reports."""


def missing_names() -> list[str]:
    """Return the private names that this release of Textual lacks."""
    return [
        f"{owner.__name__}.{name}"
        for owner, names in PRIVATE_NAMES
        for name in names
        if not _has(owner, name)
    ]


def _has(owner: type, name: str) -> bool:
    """Whether a class has an attribute, or its instances do from their beginning."""
    code = [getattr(vars(base).get("__init__"), "__code__", None) for base in owner.__mro__]
    return hasattr(owner, name) or any(name in its.co_names for its in code if its)


def why_not_used(environ: Mapping[str, str]) -> str:
    """Return why Textual has to draw and to read keys by itself; empty if nvltop does."""
    if environ.get(DIRECT_VARIABLE) == "0":
        return f"{DIRECT_VARIABLE}=0"
    missing = missing_names()
    if not missing:
        return ""
    # Imported only now, because it loads the standard library's e-mail package: 1 MB.
    from importlib.metadata import version

    return f"Textual {version('textual')} lacks {', '.join(missing)}"


# ---- application and screen


class _PartialUpdate(CompositorUpdate):
    """A picture of Textual's compositor, without what `part` leaves out."""

    def __init__(self, update: CompositorUpdate, part: Callable[[str], str]) -> None:
        self._update, self._part = update, part

    def render_segments(self, console: Console) -> str:
        return self._part(self._update.render_segments(console))


class PrivateApp(App[Returned]):
    """An application that may handle its failures itself."""

    @property
    def terminal_driver(self) -> Any:
        """The driver of the terminal; None before the start."""
        return getattr(self, "_driver", None)

    @property
    def is_exiting(self) -> bool:
        """Whether the application is about to end."""
        return bool(getattr(self, "_exit", False))

    @property
    def can_run_bindings(self) -> bool:
        """Whether `run_binding` works with this release of Textual."""
        return _has(App, "_check_bindings")

    async def run_binding(self, key: str) -> bool:
        """Run the binding of a key; return whether the focused widget, screen or application has one."""
        return await self._check_bindings(key, priority=True) or await self._check_bindings(key)

    @contextmanager
    def sending(self) -> Iterator[Callable[[str], str]]:
        """Yield a function that takes the text of a picture and returns the part that is to be sent."""
        yield str

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        if not isinstance(renderable, CompositorUpdate):
            super()._display(screen, renderable)
            return
        with self.sending() as part:
            super()._display(screen, _PartialUpdate(renderable, part))

    def handle_failure(self, error: Exception) -> bool:
        """Handle an exception of a message handler; return False to let Textual end with a traceback."""
        return False

    def fail(self, error: Exception) -> None:
        """Handle an exception as if a message handler had raised it."""
        self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> None:
        if not self.handle_failure(error):
            super()._handle_exception(error)


def visible_widgets(screen: Screen[Any]) -> Mapping[Widget, object]:
    """Return the visible widgets and their places; another object after each layout, empty before one."""
    return {} if screen._layout_required else screen._compositor.visible_widgets


def has_synchronized_output(app: App[Any]) -> bool:
    """Whether the terminal has reported that it supports synchronized output."""
    return app._sync_available


def write_to_terminal(app: App[Any], text: str) -> None:
    """Send text to the terminal of an application, if it has one."""
    if app._driver:
        app._driver.write(text)


# ---- keys


class SafeParser(XTermParser):
    """Textual's parser of key sequences, without its failures on sequences with nonsensical numbers."""

    def __init__(self, extra_keys: dict[str, str]) -> None:
        super().__init__()
        self._extra_keys = extra_keys

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterator[events.Key]:
        if name := self._extra_keys.get(sequence):
            yield events.Key(name, None)
            return
        try:
            yield from super()._sequence_to_key_events(sequence, alt)
        except (ValueError, OverflowError):
            return

    def parse_mouse_code(self, code: str) -> Message | None:
        """Return the event of a mouse report, in cells: nvltop never requests reports in pixels."""
        self.mouse_pixels = False
        return super().parse_mouse_code(code)


class SafeCommandPalette(CommandPalette):
    """Textual's command palette, for keys that arrive before it is drawn or after it has closed."""

    @property
    def _is_top_screen(self) -> bool:
        return self.app.screen is self

    def _action_command_list(self, action: str) -> None:
        if self._is_top_screen and self.query_one(OptionList).size.height:
            super()._action_command_list(action)

    def _select_or_command(self, event: Input.Submitted | Button.Pressed | None = None) -> None:
        if self._is_top_screen:
            super()._select_or_command(event)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Ignore a second Enter: Textual would leave the screen below as well."""
        self._ignore_if_closed(event)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Ignore a press after the palette has closed."""
        self._ignore_if_closed(event)

    def _ignore_if_closed(self, event: Input.Submitted | Button.Pressed) -> None:
        if not self._is_top_screen:
            event.stop()
            event.prevent_default()

    def _action_escape(self) -> None:
        if self._is_top_screen:
            super()._action_escape()


# ---- the terminal


class OpenDriver(Driver):
    """A driver for terminals, with public names for what a subclass uses of Textual's base class."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._size = self.terminal_size()

    def terminal_size(self) -> tuple[int, int]:
        """Return columns and rows of the terminal."""
        raise NotImplementedError

    @property
    def application(self) -> Any:
        """The application that the driver belongs to."""
        return self._app

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the application."""
        return self._loop

    @property
    def has_mouse(self) -> bool:
        """Whether mouse reports are wanted."""
        return self._mouse

    @property
    def restarts(self) -> bool:
        """Whether the driver itself leaves the screen when the process is suspended, and returns to it."""
        return self._auto_restart
