"""The page that asks NCCL about a job: only after a confirmation, joined with what this node knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.model import Processes
from nvltop.ras import inquiry
from nvltop.ras.inquiry import Target
from nvltop.tui.dialogs.ras_page import RasPage
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.menu import Menu
from tests.ras.server import rank as ras_rank
from tests.ras.server import serving, status
from tests.tui.test_processes import NUMBER, four, rank, shown

HEALTH = str([tab.title for tab in TABS].index("Health") + 1)
BEHIND = status(([{**ras_rank(n, 50 - (n == 1)), "pid": 100 + n} for n in range(3)], []))


@pytest.fixture
def real(app, monkeypatch):
    """Return an application whose node counts as real."""
    monkeypatch.setattr("nvltop.tui.render.view_state.ViewState.ras_refusal", "")
    return app()


def text_of(page: RasPage) -> str:
    return page._page.text()


async def asked(app, pilot, answer: str = "yes") -> RasPage:
    page = app.main.page
    assert isinstance(page, RasPage)
    await pilot.press("R")
    await pilot.pause()
    assert isinstance(app.screen, Menu)
    app.screen.dismiss(answer)
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    await pilot.pause()
    return page


async def test_the_rank_that_is_behind_is_shown_with_its_gpu(real, monkeypatch):
    with serving(BEHIND) as server:
        monkeypatch.setattr(
            "nvltop.tui.dialogs.ras_page.find_target", lambda pids: Target("127.0.0.1", server.port, None)
        )
        async with real.run_test(size=(120, 40)) as pilot:
            await pilot.press(NUMBER)
            await shown(real, pilot, four(real))
            await pilot.press("R")
            await pilot.pause()
            assert "Press R to ask" in text_of(real.main.page)
            assert server.received == [], "nothing is asked without a confirmation"
            page = await asked(real, pilot)
            first = text_of(page)
            assert "rank 1 (GPU 1, process 101" in first
            assert "On this node now:" in first
            assert "rank 1: GPU 1" in first
            assert "Press R again" in first
            page = await asked(real, pilot)
            assert "Stuck: nothing moved between two queries" in text_of(page)
            assert len(server.received) == 2
            made = []
            monkeypatch.setattr(
                "nvltop.snapshot.bundle.SnapshotFiles.save", lambda made_, path: made.append(made_)
            )
            report = real._snapshots.take(real.main, real.view, real.view.frame, real.view.history)
            assert "## What NCCL reported (RAS)" in report
            assert "rank 1 (GPU 1, process 101" in report
            assert "172.16.64.210" not in report


async def test_no_means_no(real, monkeypatch):
    def find_target(pids):
        raise AssertionError("asked")

    monkeypatch.setattr("nvltop.tui.dialogs.ras_page.find_target", find_target)
    async with real.run_test(size=(100, 30)) as pilot:
        await pilot.press(NUMBER)
        await shown(real, pilot, four(real))
        await pilot.press("R")
        page = await asked(real, pilot, "no")
        assert "Press R to ask" in text_of(page)


async def test_why_there_is_no_answer_is_shown(real, monkeypatch):
    monkeypatch.setattr(inquiry, "find_services", lambda pids: [])
    async with real.run_test(size=(100, 30)) as pilot:
        await pilot.press(NUMBER)
        await shown(real, pilot, Processes((replace(rank(real, 0), pid=1),)))
        await pilot.press("R")
        page = await asked(real, pilot)
        assert "no NCCL RAS service found" in text_of(page)


async def test_a_simulated_job_is_not_asked(app):
    app = app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press(NUMBER)
        await shown(app, pilot, four(app))
        await pilot.press("R")
        await pilot.pause()
        assert not isinstance(app.main.page, RasPage)
        assert "simulated" in list(app._notifications)[-1].message
        await pilot.press(HEALTH, "R")
        await pilot.pause()
        assert not isinstance(app.main.page, RasPage)
