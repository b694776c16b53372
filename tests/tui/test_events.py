"""The tab Events, the line in the header, and the ways from an event and a finding to what it is about."""

from __future__ import annotations

from dataclasses import replace

from nvltop.model import LinkState
from nvltop.tui.dialogs.gpu_page import GpuPage
from nvltop.tui.dialogs.link_page import LinkPage
from nvltop.tui.dialogs.nic_page import NicPage
from nvltop.tui.tabs.registry import TABS

EVENTS = str([tab.title for tab in TABS].index("Events") + 1)
HEALTH = str([tab.title for tab in TABS].index("Health") + 1)


async def settle(app, pilot, seconds: float = 0.0) -> None:
    for _ in range(round(seconds)):
        app.source.advance(1.0)
        app.step()
    app.step()
    await pilot.pause()


def advance_the_wall(app) -> None:
    """Have ticks whose wall clock advances, so that events can be new."""
    source = app.source
    tick = source.tick
    source.tick = lambda: replace(tick(), wall_s=1_790_000_000.0 + source.clock.now)


def flap(app) -> None:
    """Have link 5 of GPU 2 down for a second."""
    [reading] = app.source.bench.readers[2].read_states()
    states = [LinkState.DOWN if i == 5 else s for i, s in enumerate(reading.data.states)]
    app.source.items.append(replace(reading, data=replace(reading.data, states=tuple(states))))
    app.step()


async def test_what_happened_is_said_until_it_is_acknowledged(app):
    app = app("dgx-h100")
    advance_the_wall(app)
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(app, pilot, 3)
        flap(app)
        await settle(app, pilot, 3)
        assert "GPU 2 link 5 DOWN" in app.main._header.text()
        assert "Events!" in app.main._tabs.text()
        await pilot.click("#header", offset=(70, 3))
        assert app.main.tab.TITLE == "Events"
        await settle(app, pilot)
        row = app.main.tab._list.text().splitlines()[1]
        assert row.split()[:2][0] == "!"
        assert "GPU 2 link 5" in row
        assert "link DOWN" in row
        details = app.main.tab._details.text()
        assert "from up to up" in details
        assert "nothing: it is over" in details
        await pilot.press("a")
        await settle(app, pilot)
        assert "GPU 2 link 5 DOWN" not in app.main._header.text()
        assert "Events!" not in app.main._tabs.text()
        await settle(app, pilot, 1)
        flap(app)
        await settle(app, pilot, 3)
        assert "(2 times)" in app.main.tab._list.text()
        assert "Events!" in app.main._tabs.text(), "it happened again"
        await pilot.press("enter")
        await settle(app, pilot)
        assert isinstance(app.main.page, LinkPage)
        page = app.main.page._page.text()
        assert "GPU 2 > link 5" in page
        assert "link DOWN (2 times)" in page
        assert app.view.acknowledged_s > 0


async def test_enter_goes_to_link_gpu_nic_and_jobs(app):
    app = app("dgx-h100", "nic-down")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(app, pilot, 15)
        tab = app.main.tab
        tab.host.show_subject(None, None, None, "stuck-collective")
        await pilot.pause()
        assert app.main.tab.TITLE == "Processes"
        uuid = app.view.gpus[5].gpu.uuid
        tab.host.show_subject(uuid, None, None, "gpu-lost")
        await pilot.pause()
        await settle(app, pilot)
        assert isinstance(app.main.page, GpuPage)
        assert "GPU 5 · NVIDIA H100" in app.main.page._page.text()
        assert "the driver requests nothing" in app.main.page._page.text()
        await pilot.press("right", "right", "right", "down")
        await settle(app, pilot)
        assert "GPU 0 · NVIDIA H100" in app.main.page._page.text()
        await pilot.press("escape")
        assert app.main.tab.TITLE == "Processes"
        tab.host.show_subject(None, None, None, "driver")
        await pilot.pause()
        assert app.main.tab.TITLE == "Health"
        await pilot.press(EVENTS)
        await settle(app, pilot)
        selected = app.main.tab.selected
        assert (selected.kind, selected.nic) == ("nic-state", "mlx5_5")
        caused = replace(selected, cause="GPU 3 (0000:61:00.0): Xid 79, the GPU has fallen off the bus")
        assert app.main.tab.tail(caused, 30) == [("follows from GPU 3: Xid 79, t…", "dim")]
        await pilot.press("enter")
        await settle(app, pilot)
        assert isinstance(app.main.page, NicPage)
        await pilot.press(HEALTH)
        await settle(app, pilot)
        finding = next(i for i, e in enumerate(app.main.tab._entries) if e.nic)
        await pilot.press(*["down"] * finding, "enter")
        await settle(app, pilot)
        assert isinstance(app.main.page, NicPage)


async def test_a_click_on_a_fault_in_the_header_shows_it_in_health(app):
    app = app("dgx-h100", "link-down")
    async with app.run_test(size=(120, 36)) as pilot:
        await settle(app, pilot, 25)
        assert "GPU 3 link 7 DOWN" in app.main._header.text()
        for line in (2, 3):
            app.main.show_title("Main")
            await pilot.click("#header", offset=(70, line))
            assert app.main.tab.TITLE == "Health"
