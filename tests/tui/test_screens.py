"""Every tab as text, as a person sees it.

A screen that is meant to look otherwise: delete its file, run this test, look at the file that it wrote.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.rows_widget import RowsWidget

pytestmark = pytest.mark.usefixtures("exact_wait")

SCREENS = Path(__file__).parent / "screens"
SIZES = [(80, 24), (120, 40), (200, 60)]
NODES = [
    ("dgx-h100", "training"),
    ("dgx1-v100", "errors"),
    ("rtx3090-pair", "training"),
    ("gb200-tray", "errors"),
    ("dgx2", "training"),
    ("rtx4090-pair", "training"),
]


def seen(screen, height: int) -> str:
    """Return what the widgets show, put together as on the screen."""
    lines = [" " * screen.size.width] * height
    for widget in screen.query(RowsWidget):
        if widget.display and widget.region:
            at = widget.region
            assert all(text for row in widget._rows for text, _ in row), "rows are compared run by run"
            for y in range(at.height):
                text = widget.render_line(y).text
                line = lines[at.y + y]
                lines[at.y + y] = line[: at.x] + text + line[at.x + at.width :]
    return "".join(line.rstrip() + "\n" for line in lines)


@pytest.mark.parametrize(("node", "scenario"), NODES)
async def test_the_screens_look_as_they_did(app, utc, node, scenario):
    app = app(node, scenario, seconds=3.0)
    written = []
    async with app.run_test(size=SIZES[0]) as pilot:
        app.step()
        for _ in range(40):
            app.source.advance(0.25)
            app.step()
        for size in SIZES:
            await pilot.resize_terminal(*size)
            text = ""
            for number, tab in enumerate(TABS, 1):
                await pilot.press(str(number))
                await pilot.pause()
                app.step()
                await pilot.pause()
                text += f"===== {tab.title}\n{seen(app.main, size[1])}"
            golden = SCREENS / f"{node}-{size[0]}x{size[1]}.txt"
            if not golden.exists():
                golden.parent.mkdir(exist_ok=True)
                golden.write_text(text)
                written.append(golden.name)
            assert text == golden.read_text(), golden.name
    assert not written, "look at what was written"
