"""A tab of the screen: what stands between the tab row and the function bar.

A tab is added by one file and one line: a module of `nvltop/tui/tabs/` with a subclass of `Tab` (of
`ListTab` for a list that can be searched, filtered and sorted), and its name in `TABS` of
`nvltop/tui/tabs/__init__.py`, which is the order of the tab row. The subclass gives

- `TITLE`, its word in the tab row;
- `compose`, its widgets: each a `RowsWidget(self.output, id)`, whose rows are made by pure functions;
- `draw`, which brings them up to date from `self.view`. It is called at every frame while the tab is
  shown and never while it is not, so it may format what is seen and must not move widgets without need;
- `BINDINGS` for its own keys (they come before the screen's), and `keys()` for their places in the
  function bar; `move` and `page_lines` for the arrows and the page keys, which all tabs have;
- `status`, what is to be said of the selection at the right of the function bar.

What the tab looks at (selection, scroll, order) it keeps itself. After a key or click changed any of
it, it calls `request_draw`. What needs more room than a row is shown by a page: a `Tab` that is in no
tab row, opened over this one with `open_page` and left with Esc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from nvltop.tui.render.bars import FunctionKey
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.widgets.direct_output import DirectOutput
from nvltop.tui.widgets.plain_widget import PlainWidget

ALL_ROWS: Final = 1 << 20
"""More rows than any list has."""


class Tab(PlainWidget, can_focus=True):
    """Shown while it is the current one; see the module for what a subclass gives."""

    DEFAULT_CSS = "Tab { height: 1fr; width: 1fr; display: none; }"
    TITLE: ClassVar[str] = ""
    BLANK = True  # its lines cover it: Textual need not draw what lies below them
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up"),
        Binding("down", "move(1)", "Down"),
        Binding("pageup", "page(-1)", "Page up"),
        Binding("pagedown", "page(1)", "Page down"),
        Binding("home", f"move(-{ALL_ROWS})", "First"),
        Binding("end", f"move({ALL_ROWS})", "Last"),
    ]

    class Changed(Message):
        """The tab is to be drawn again, and the function bar with it."""

    class PageOpened(Message):
        """A page is to be shown over the tab."""

        def __init__(self, page: Tab) -> None:
            super().__init__()
            self.page = page

    class PromptRequested(Message):
        """A line of text is wanted of the user."""

        def __init__(self, caption: str, text: str, changed: Callable[[str], None]) -> None:
            super().__init__()
            self.caption, self.text, self.changed = caption, text, changed

    class PageClosed(Message):
        """The page is to be left."""

    def __init__(self, view: ViewState, output: DirectOutput) -> None:
        super().__init__()
        self.view = view
        self.output = output
        """For `RowsWidget`."""

    def draw(self) -> None:
        """Draw the view."""
        raise NotImplementedError

    def invalidate(self) -> None:
        """Let the next `draw` draw all of it: for tabs that leave out what has not changed."""

    def keys(self) -> Sequence[FunctionKey]:
        """Return this tab's own places in the function bar."""
        return ()

    def status(self) -> str:
        """Return one line on what is selected; empty if there is nothing to add to its row."""
        return ""

    def move(self, by: int) -> None:
        """Move the selection by so many rows, as far as there are any."""

    def page_lines(self) -> int:
        """Return how many rows of the list are seen."""
        return self.size.height - 1

    def request_draw(self) -> None:
        """Have the change drawn."""
        self.post_message(self.Changed())

    def prompt(self, caption: str, text: str, changed: Callable[[str], None]) -> None:
        """Ask for a line of text in the place of the function bar; `changed` is told while it is typed.

        Enter tells it once more; Esc tells it what stood there before.
        """
        self.post_message(self.PromptRequested(caption, text, changed))

    def open_page(self, page: Tab) -> None:
        """Show a page instead of this tab, until Esc."""
        self.post_message(self.PageOpened(page))

    def action_move(self, by: int) -> None:
        """Move the selection."""
        self.move(by)
        self.request_draw()

    def action_page(self, way: int) -> None:
        """Move the selection by what is seen of the list."""
        self.action_move(way * max(1, self.page_lines() - 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move down in what is under the mouse."""
        self.wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move up in what is under the mouse."""
        self.wheel(event, -1)

    def wheel(self, event: events.MouseEvent, by: int) -> None:
        """Turn the wheel by one notch."""
        self.action_move(by)

    def on_resize(self) -> None:
        """Draw for the new size once the widgets have theirs."""
        self.call_after_refresh(self.request_draw)
