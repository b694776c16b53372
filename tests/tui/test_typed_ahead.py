"""Keys that are typed before what they are for is on the screen, as over a slow line."""

from __future__ import annotations

import pytest
from textual import events

from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

MOVES = ("down", "pagedown", "end")
TYPED = [(str(number), key, key) for number in range(1, len(TABS) + 1) for key in MOVES]


@pytest.mark.parametrize("typed", TYPED, ids=" ".join)
async def test_keys_typed_ahead_do_what_they_do_one_by_one(app, node_clock, typed):
    states, begin_s = [], node_clock.now
    for ahead in (False, True):
        node_clock.now = begin_s  # the same run, which the node reads once
        its = app("dgx-h100", "link-failure", 20.0)
        async with its.run_test(size=(120, 40)) as pilot:
            its.step()
            await pilot.pause()
            for name in typed:
                if ahead:
                    its.post_message(events.Key(name, name if len(name) == 1 else None))
                else:
                    await pilot.press(name)
            await pilot.pause()
            await pilot.pause()
            shown = its.main.visible_tab
            texts = [widget.text() for widget in shown.query(RowsWidget)]
            states.append((type(shown), shown.view.gpu, its.main._keys.text(), texts))
    assert states[0] == states[1]
