"""The base class of tabs: the part of the screen between the tab row and the function bar.

To add a tab, add a folder `nvltop/tui/tabs/NAME/` with a module `widget`, and a line to `TABS` in
`nvltop/tui/tabs/registry.py`, which is the order of the tab row, with a function that imports the module. The
module defines a subclass of `Tab` (of `ListTab` for a list that can be searched, filtered and sorted) with

- `TITLE`: its name in the tab row;
- `compose`: its widgets, each a `RowsWidget(self.output, id)`, whose rows are made by pure functions;
- `draw`: updates the widgets from `self.view`. It is called with every frame while the tab is shown, and
  never otherwise, so it should format only what is visible and not move widgets without need;
- `BINDINGS`: its own keys, which come before those of the screen, and `keys()`: their places in the
  function bar. `move` and `page_lines` implement the arrow and page keys, which all tabs have;
- `status`: a line about the selection, at the right of the function bar.

A tab keeps its own selection, scroll position and order. When a key or click has changed one of them, it
calls `request_draw`. Details that need more room than a row are shown by a page: a `Tab` that is not in the
tab row, opened over this tab by `open_page` and closed with Esc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.tui.keys import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.key_screen import KeyScreen
from nvltop.tui.widgets.plain_widget import PlainWidget

ALL_ROWS: Final = 1 << 20
"""A number of rows that no list reaches."""


class Question(NamedTuple):
    """A request to let the user type a line of text; `Tab.prompt` describes it."""

    caption: str
    text: str
    changed: Callable[[str], bool]
    find_next: Callable[[], None] | None


class TabHost(KeyScreen[None]):
    """What the screen around a tab does for it, at once: the next key is for what is shown then."""

    def open_page(self, page: Tab) -> None:
        """Show a page over the current tab."""
        raise NotImplementedError

    def close_page(self) -> None:
        """Close the page."""
        raise NotImplementedError

    async def ask(self, question: Question) -> None:
        """Show the prompt in place of the function bar."""
        raise NotImplementedError

    def show_subject(self, gpu: str | None, link: int | None, nic: str | None, rule: str) -> None:
        """Show what a finding or event is about: a link, GPU, NIC, or the jobs."""
        raise NotImplementedError


class Tab(PlainWidget, can_focus=True):
    """A widget that is shown while it is the current tab; the module describes its subclasses."""

    DEFAULT_CSS = "Tab { height: 1fr; width: 1fr; display: none; }"
    TITLE: ClassVar[str] = ""
    BLANK = True  # its rows cover it, so that Textual need not draw a background
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up"),
        Binding("down,j", "move(1)", "Down"),
        Binding("pageup", "page(-1)", "Page up"),
        Binding("pagedown", "page(1)", "Page down"),
        Binding("home", f"move(-{ALL_ROWS})", "First"),
        Binding("end", f"move({ALL_ROWS})", "Last"),
    ]

    class Changed(Message):
        """A request to draw the tab and the function bar again."""

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__()
        self.view = view
        self.output = output
        """The output that each `RowsWidget` needs."""

    @property
    def host(self) -> TabHost:
        """The screen that shows the tab."""
        assert isinstance(self.screen, TabHost)
        return self.screen

    def draw(self) -> None:
        """Update the rows from the view."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Drop cached rows, so that the next `draw` makes them again."""

    def keys(self) -> Sequence[FunctionKey]:
        """Return the keys of this tab for the function bar."""
        return ()

    def status(self) -> str:
        """Return a line about the selection that its row does not show; may be empty."""
        return ""

    def move(self, by: int) -> None:
        """Move the selection by a number of rows, at most to the first or last one."""

    def page_lines(self) -> int:
        """Return the number of visible rows of the list."""
        return self.size.height - 1

    def request_draw(self) -> None:
        """Request that the tab is drawn again."""
        self.post_message(self.Changed())

    async def prompt(
        self,
        caption: str,
        text: str,
        changed: Callable[[str], bool],
        find_next: Callable[[], None] | None = None,
    ) -> None:
        """Let the user type a line of text; call `changed` with it after each key.

        `changed` returns whether anything matches the text. Enter keeps the text, Esc calls `changed` with an
        empty one. F3 calls `find_next`, if there is one.
        """
        await self.host.ask(Question(caption, text, changed, find_next))

    def refuse(self, reason: str) -> None:
        """Show why a key has no effect now."""
        self.app.notify(reason, markup=False)

    def open_page(self, page: Tab) -> None:
        """Show a page over this tab until Esc."""
        self.host.open_page(page)

    def action_close(self) -> None:
        """Close the page that this is."""
        self.host.close_page()

    def action_move(self, by: int) -> None:
        """Move the selection."""
        self.move(by)
        self.request_draw()

    def action_page(self, way: int) -> None:
        """Move the selection by the visible part of the list."""
        # Before the first layout only the size of the tab is known, not that of its list.
        lines = self.page_lines() if self.outer_size else self.size.height - 1
        self.action_move(way * max(1, lines - 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down in the list under the mouse."""
        self.wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up in the list under the mouse."""
        self.wheel(event, -1)

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Handle one notch of the mouse wheel."""
        self.action_move(by)

    def on_resize(self) -> None:
        """Draw once the widgets have their new sizes."""
        self.call_after_refresh(self.request_draw)
