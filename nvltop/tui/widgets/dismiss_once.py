"""Screens that lie over another one and are dismissed once."""

from __future__ import annotations

from textual.await_complete import AwaitComplete

from nvltop.tui.widgets.key_screen import KeyScreen, Result


class DismissOnce(KeyScreen[Result]):
    """A screen that ignores keys that arrive after it was dismissed: Textual would dismiss the one below."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Go back to the screen below, and hand it the result."""
        if self.app.screen is self:
            return super().dismiss(result)
        nothing: AwaitComplete = AwaitComplete.nothing()  # type: ignore[no-untyped-call]  # by Textual
        return nothing
