"""The Processes tab under the user's hands."""

from __future__ import annotations

import signal
from dataclasses import replace
from weakref import WeakKeyDictionary

import pytest

from nvltop.model import Ancestor, GpuUse, Job, Missing, Process, Processes, Reading
from nvltop.text import width
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.tabs.processes import rows
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.menu import Menu

pytestmark = pytest.mark.usefixtures("exact_wait")

NUMBER = str([tab.title for tab in TABS].index("Processes") + 1)


SENT: WeakKeyDictionary[Nvltop, Processes] = WeakKeyDictionary()
"""The last processes sent to each application; the simulated node has its own."""


def rank(app, i: int, **changes) -> Process:
    gpu = app.source.bench.inventory.gpus[i].uuid
    made = Process(
        pid=100 + i,
        uses=(GpuUse(gpu, "compute", (10 + i) << 30, 90.0 - i),),
        executable="python3",
        user="ada" if i < 3 else "bob",
        arguments=f"train.py --rank {i}",
        cpu_percent=100.0,
        memory_bytes=6 << 30,
        started_s=1_789_990_000.0 + i,
        start_ticks=4000 + i,
        ancestors=(Ancestor(50 if i < 3 else 60, "torchrun"),),
    )
    return replace(made, **changes)


def send_processes(app, found: Processes) -> None:
    now = app.source.clock.now
    app.source.items.append(Reading(None, now, now, 1_790_000_000.0, found))


async def shown(app, pilot, found: Processes | None = None) -> str:
    app.source.advance(0.25)
    if found:
        SENT[app] = found
    if last := SENT.get(app):
        send_processes(app, last)
    app.step()
    await pilot.pause()
    await pilot.pause()
    return app.main.tab._list.text()


def four(app) -> Processes:
    return Processes(tuple(rank(app, i) for i in range(4)))


async def test_jobs_stand_above_their_processes(app):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER)
        rows = (await shown(app, pilot, four(app))).splitlines()
        assert rows[1].startswith("torchrun")
        assert "3 processes on GPU 0-2" in rows[1]
        assert "GB/s" in rows[1]
        assert [row.split()[0] for row in rows[2:5]] == ["100", "101", "102"]
        assert rows[2].split()[1:3] == ["ada", "0"]
        assert "python3 train.py --rank 0" in rows[2]
        assert "1 process on GPU 3" in rows[5]


async def test_sort_filter_user_and_tree(app):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER)
        await shown(app, pilot, four(app))
        await pilot.press("t")
        rows = (await shown(app, pilot)).splitlines()[1:5]
        assert [row.split()[0] for row in rows] == ["103", "102", "101", "100"], "most GPU memory first"
        await pilot.press("backslash", *"rank 2", "enter")
        assert "102" in (rows := (await shown(app, pilot)).splitlines()[1:])[0]
        assert len([row for row in rows if row.strip()]) == 1
        await pilot.press("backslash", *["backspace"] * 6, "enter", "u")
        await pilot.pause()
        assert isinstance(app.screen, Menu)
        await pilot.press("down", "down", "enter")
        rows = (await shown(app, pilot)).splitlines()[1:]
        assert {row.split()[1] for row in rows if row.strip()} == {"bob"}


async def test_the_selection_follows_its_process(app):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER)
        await shown(app, pilot, four(app))
        await pilot.press("down", "down")
        assert app.main.tab.selected.process.pid == 101
        more = (rank(app, 5, ancestors=(Ancestor(40, "torchrun"),)), *four(app).processes)
        await shown(app, pilot, Processes(more))
        assert app.main.tab.selected.process.pid == 101


@pytest.fixture
def sent(monkeypatch):
    calls = []

    def record(*what) -> str:
        calls.append(what)
        return ""

    monkeypatch.setattr("nvltop.host.signals.send_signal", record)
    return calls


async def live(app, pilot):
    """Let the node be no simulation, so that signals may be sent."""
    app.source.bench.inventory = replace(app.source.bench.inventory, demo=None)
    app.source.items.append(app.source.bench.inventory)
    await pilot.press(NUMBER)
    await shown(app, pilot, four(app))


async def test_a_signal_is_confirmed_by_name_before_it_is_sent(app, sent):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await live(app, pilot)
        await pilot.press("down", "f9")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, Menu)
        assert app.screen._title == "SIGTERM to 100?"
        assert "100 python3 train.py" in str(app.screen._list.get_option_at_index(1).prompt)
        await pilot.press("enter")
        await pilot.pause()
        assert sent == [], "No is the first answer"
        await pilot.press("k")
        await pilot.pause()
        await pilot.press("end", "enter")
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert sent == [(100, 4000, signal.SIGKILL)]


async def test_tagged_processes_are_signalled_together(app, sent):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await live(app, pilot)
        await pilot.press("down", "space", "space", "f9")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert [pid for pid, _, _ in sent] == [100, 101]


@pytest.mark.parametrize(("settings", "word"), [({}, "simulated"), ({"readonly": True}, "--readonly")])
async def test_where_nothing_can_be_signalled_that_is_said(app, sent, settings, word):
    app = app(**settings)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER)
        if settings:
            await live(app, pilot)
        else:
            await shown(app, pilot, four(app))
        await pilot.press("down", "f9")
        await pilot.pause()
        assert not isinstance(app.screen, Menu)
        assert word in app.view.kill_refusal
        assert sent == []


async def test_in_a_container_a_number_may_be_another_process(app, sent):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        app.source.bench.inventory = replace(app.source.bench.inventory, container=True)
        await live(app, pilot)
        await pilot.press("down", "f9")
        await pilot.pause()
        assert not isinstance(app.screen, Menu)
        assert "process ids of the host" in app.view.kill_refusal


async def test_an_unknown_start_is_not_a_licence_to_kill(app, sent):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await live(app, pilot)
        await shown(app, pilot, Processes((rank(app, 0, start_ticks=Missing("no permission")),)))
        await pilot.press("home", "down", "f9")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("down", "enter")
        await pilot.pause()
        assert sent == []


async def test_hidden_processes_are_counted_with_the_reason(app):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER)
        found = Processes((), 3, "another PID namespace")
        assert "3 processes are hidden: another PID namespace" in await shown(app, pilot, found)


async def test_unlinked_gpus_of_a_job_are_worth_a_word(app):
    app = app("a6000-3")
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press(NUMBER)
        text = await shown(app, pilot, Processes(tuple(rank(app, i) for i in range(3))))
        assert "no NVLink between GPU" in text


def test_a_job_on_gpus_without_nvlink_has_no_traffic_that_is_unknown(view):
    v = view("rtx4090-pair", seconds=3.0)
    job = Job(
        key="torchrun:1", label="torchrun 1", kind="torchrun", user="ada", pids=(1,),
        gpus=tuple(g.gpu.uuid for g in v.gpus), exclusive=(True, True), exact=True,
        tx_bytes_per_s=Missing("no NVLink"),
        rx_bytes_per_s=Missing("no NVLink"), unlinked=((v.gpus[0].gpu.uuid, v.gpus[1].gpu.uuid),),
    )  # fmt: skip
    assert rows.job_line(v, job) == "torchrun 1 · 1 process on GPU 0-1 · no NVLink"


def test_gpus_are_named_in_runs(view):
    frame = view().frame
    uuids = [g.gpu.uuid for g in frame.gpus]
    assert rows.gpus(frame, uuids) == "0-7"
    assert rows.gpus(frame, [uuids[0], uuids[2], uuids[3]]) == "0,2-3"
    assert rows.gpus(frame, ["stranger"]) == "?"


async def test_names_in_any_script_stand_in_their_columns(app):
    app = app()
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press(NUMBER, "t")
        names = ("jürgen", "世蓮", "тренер", "ada")
        commands = ("训练模型", "é-müller", "🚀train", "python3")
        both = enumerate(zip(names, commands, strict=True))
        found = tuple(rank(app, i, user=user, executable=command) for i, (user, command) in both)
        text = await shown(app, pilot, Processes(found))
        for name in (*names, *commands):
            assert name in text
        places = {
            width(line[: line.index(command)])
            for line in text.splitlines()
            for command in commands
            if f"{command} train.py" in line
        }
        assert len(places) == 1
        await pilot.press("f4", *"训练")
        await pilot.pause()
        assert "世蓮" not in app.main.tab._list.text()
        assert "jürgen" in app.main.tab._list.text()
