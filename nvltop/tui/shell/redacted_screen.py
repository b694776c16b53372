"""A picture of the main screen without the names on it, for others."""

from __future__ import annotations

from copy import copy
from dataclasses import fields

from nvltop.record.redact import Redactor
from nvltop.snapshot.bundle import redacted
from nvltop.tui.render.screen_svg import Area, svg
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.main_screen import MainScreen
from nvltop.tui.shell.tabbed_screen import TabbedScreen
from nvltop.tui.widgets.rows_widget import RowsWidget


def picture(main: MainScreen, view: ViewState, redact: Redactor) -> str:
    """Return the main screen as SVG, as it is now but with names removed.

    The screen is drawn from a redacted frame and then from its own frame again, before anything is sent to
    the terminal. Whatever drawing changes in the view and the tab is restored.
    """
    before, tab = copy(view), main.visible_tab
    state = dict(vars(tab))
    # Rows that are not drawn again would keep their names.
    rows = [(widget, widget.take_rows()) for widget in main.query(RowsWidget)]
    view.frame = redacted(view.frame, redact, uuids=True)
    view.gpus = tuple(g for old in view.gpus for g in view.frame.gpus if g.gpu.uuid == old.gpu.uuid)
    view.alias = redact.alias
    tab.invalidate()
    try:
        main.draw()
        return svg(*main.size, areas(main), main.app.current_theme.dark)
    finally:
        for field in fields(view):
            setattr(view, field.name, getattr(before, field.name))
        vars(tab).update(state)
        for widget, old in rows:
            widget.put_back(old)
        main.draw()


def areas(main: TabbedScreen) -> list[Area]:
    """Return the visible rows of a screen, for a picture."""
    widgets = [widget for widget in main.query(RowsWidget) if widget.region and widget.is_on_screen]
    return [
        Area(
            at.x,
            at.y,
            at.width,
            [widget.render_line(y).crop_extend(0, at.width, None) for y in range(at.height)],
        )
        for widget in widgets
        for at in [widget.region]
    ]
