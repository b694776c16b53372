"""F8 under the user's hands: a snapshot of what is on the screen, without names, and the screen as before."""

from __future__ import annotations

import asyncio
import errno
import gzip
import html
import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nvltop.analysis.rate_history import RateHistory
from nvltop.config.settings import Settings
from nvltop.model import Call, Finding, GpuUse, Process, Processes, Reading, Severity, Tick
from nvltop.record.redact import Redactor
from nvltop.record.replay import ReplaySource
from nvltop.snapshot.bundle import CriticalTrigger
from nvltop.tui import offscreen
from nvltop.tui.render import screen_svg
from nvltop.tui.shell import snapshots
from nvltop.tui.shell.app import Nvltop
from nvltop.tui.shell.redacted_screen import picture
from nvltop.tui.tabs.registry import TABS
from nvltop.tui.widgets.rows_widget import RowsWidget
from nvltop.tui.widgets.setup import SetupScreen

SIZE = (120, 36)
PROCESSES = str([tab.title for tab in TABS].index("Processes") + 1)
SECRETS = ("asmith-lab", "hunter2", "train.py")
CRITICAL = Finding("gpu-lost", Severity.CRITICAL, None, None, "A GPU has gone")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def send_users(app) -> None:
    """Have someone's processes on the node."""
    uses = tuple(GpuUse(g.uuid, "compute", 1 << 30) for g in app.source.bench.inventory.gpus)
    found = tuple(
        Process(4700 + i, (use,), "python3", SECRETS[0] if i % 2 else "root", "train.py --password=hunter2")
        for i, use in enumerate(uses)
    )
    now = app.source.clock.now
    app.source.items.append(Reading(None, now, now, 1_790_000_000.0, Processes(found)))
    app.step()


def texts(svg: str) -> str:
    return html.unescape(" ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


async def saved(app, pilot, here: Path, count: int = 1) -> list[Path]:
    app._snapshots.wait()
    await pilot.pause()
    found = sorted(here.glob("nvltop-snapshot-*"))
    assert len(found) == count
    return found


async def test_what_is_drawn_for_others_never_goes_to_the_terminal(app, here, monkeypatch):
    app = app("dgx-h100")
    sent: list[str] = []
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press(PROCESSES)
        send_users(app)
        monkeypatch.setattr(app.main, "_is_rows_only", lambda: True)
        monkeypatch.setattr(app.main, "_write", sent.append)
        await pilot.press("f8")
        await saved(app, pilot, here)
    assert not [text for text in sent if "user" in text]


def seen(screen, height: int) -> str:
    """Return the screen's text, line by line."""
    lines = sorted(screen.query(RowsWidget), key=lambda lines: lines.region.x)
    rows = [(w.region.y + y, w.render_line(y).text) for w in lines if w.region for y in range(w.size.height)]
    return "\n".join(text for at in range(height) for y, text in rows if y == at)


def shown(app) -> list[str]:
    return [lines.text() for lines in app.main.query(RowsWidget)]


@pytest.mark.parametrize("key", ["f8", "w"])
async def test_f8_writes_what_is_seen_and_copies_the_report(app, here, key):
    app = app("hgx-a100-4", "errors")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        await pilot.pause()
        before = shown(app)
        await pilot.press(key)
        [folder] = await saved(app, pilot, here)
        assert shown(app) == before
        report = (folder / "report.md").read_text()
        assert app.clipboard == report
        assert "F8 pressed" in report
        picture = texts((folder / "screen.svg").read_text())
        shown_words = seen(app.main, SIZE[1]).replace(" ada ", " user-1 ")
        assert "".join(picture.split()) == "nvltop" + "".join(shown_words.split())
        [notice] = app._notifications
        assert f"snapshot in {folder.name}, redacted" in notice.message
        assert json.loads((folder / "snapshot.json").read_text())["node"]["hostname"] == "node-1"
    assert ReplaySource(folder).timeline.warning is None


async def test_names_on_the_screen_are_not_in_the_picture_and_the_selection_stays(app, here):
    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        send_users(app)
        await pilot.press(PROCESSES, "t", "u", "down", "enter")
        tab = app.main.tab
        tab.set_filter("4703")
        await pilot.pause()
        before = shown(app)
        assert SECRETS[0][:8] in " ".join(before)
        assert "hunter2" in " ".join(before)
        chosen = tab.selected
        assert chosen is not None
        await pilot.press("f8")
        [folder] = await saved(app, pilot, here)
        assert shown(app) == before
        assert tab.selected == chosen
        picture = texts((folder / "screen.svg").read_text())
        assert "4703" in picture
        assert "user-" in picture
        everything = b"".join(
            gzip.decompress(data) if name.suffix == ".gz" else data
            for name in folder.iterdir()
            for data in [name.read_bytes()]
        )
        for secret in SECRETS:
            assert secret.encode() not in everything
            assert secret[:8].encode() not in everything.replace(b"training", b"")


async def test_what_is_not_painted_again_is_not_in_the_picture(app):
    app = app()
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        stale = RowsWidget(app.main._output, "stale")
        await app.main.mount(stale, before=app.main._keys)
        stale.show([(("zsecrethost", ""),)])
        await pilot.pause()
        assert "zsecrethost" not in texts(picture(app.main, app.view, Redactor()))
        assert stale.text() == "zsecrethost"


async def test_a_filter_that_names_nobody_who_is_known_is_left_out_of_the_picture(app):
    app = app()
    async with app.run_test(size=SIZE) as pilot:
        send_users(app)
        await pilot.press(PROCESSES)
        app.main.tab.set_filter("jsmith")
        await pilot.pause()
        assert "filter: jsmith" in app.main.tab._list.text()
        drawn = texts(picture(app.main, app.view, Redactor()))
        assert "jsmith" not in drawn
        assert "left out" in drawn


async def test_full_keeps_arguments_without_secrets(app, here):
    app = app("hgx-a100-4", full=True)
    async with app.run_test(size=SIZE) as pilot:
        send_users(app)
        await pilot.press("f8")
        [folder] = await saved(app, pilot, here)
        report = (folder / "report.md").read_text()
        assert "train.py --password=***" in report
        assert "secrets in process arguments" in report


async def test_what_lies_over_the_screen_is_not_in_the_picture(app):
    """Setup shows a path with the user's name; notices do as well."""
    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        app.notify("/home/jdoe/x")
        app.push_screen(SetupScreen(Settings(), app.change_settings))
        await pilot.pause()
        svg = texts(picture(app.main, app.view, Redactor({})))
        assert "jdoe" not in svg
        assert "Setup:" not in svg
        assert "12/12" in svg


async def test_a_chart_stands_in_its_columns(app):
    app = app("rtx3090-pair")
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(8):
            app.source.advance(1.0)
            app.step()
        await pilot.press(str([tab.title for tab in TABS].index("History") + 1), "left_square_bracket")
        await pilot.pause()
        svg = picture(app.main, app.view, Redactor({}))
        lines = [row for row in seen(app.main, SIZE[1]).splitlines() if re.search("[\u2801-\u28ff]", row)]
        assert lines
        drawn = re.findall(r'<text class="[^"]*" x="([0-9.]+)" y="([0-9.]+)"[^>]*>([\u2801-\u28ff])<', svg)
        heights = list(dict.fromkeys(y for _, y, _ in drawn))
        for row, height in zip(lines, heights, strict=True):
            columns = {
                round(float(x) / screen_svg.COLUMN_UNITS): shown for x, y, shown in drawn if y == height
            }
            assert columns == {i: c for i, c in enumerate(row) if "\u2801" <= c <= "\u28ff"}


async def test_a_second_snapshot_at_once_is_refused_with_a_message(app, here, monkeypatch):
    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        monkeypatch.setattr(type(app._snapshots), "_busy", True)
        await pilot.press("f8")
        assert "still being written" in next(iter(app._notifications)).message
        monkeypatch.undo()
        assert list(here.iterdir()) == []


async def test_a_snapshot_that_takes_long_is_reported_while_it_is_written(monkeypatch):
    shown: asyncio.Queue[str] = asyncio.Queue()
    written = threading.Event()
    monkeypatch.setattr(snapshots, "PROGRESS_AFTER_S", 0.01)
    taker = snapshots.SnapshotTaker(False, False, lambda text, failed: shown.put_nowait(text))
    taker._start(lambda: "snapshot in FILE" if written.wait(10) else "never", "snapshot")
    assert await shown.get() == "writing the snapshot …"
    written.set()
    assert await shown.get() == "snapshot in FILE"


async def test_a_full_disk_is_reported_in_a_word(app, here, monkeypatch):
    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        monkeypatch.setattr(os, "fsync", full)
        await pilot.press("f8")
        app._snapshots.wait()
        await pilot.pause()
        [notice] = app._notifications
        assert notice.severity == "error"
        assert "No space left on device" in notice.message
        assert list(here.iterdir()) == []


async def test_while_the_driver_hangs(app, here):
    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        stuck = app.source.tick()
        call = Call("links", "nvmlDeviceGetFieldValues", 3, stuck.mono_s - 30)
        app.source.tick = lambda: replace(stuck, worker="stuck", calls=(call,))
        app.step()
        await pilot.press("f8")
        [folder] = await saved(app, pilot, here)
        assert "on GPU 3 for 30s" in (folder / "report.md").read_text()
        assert "driver silent for 30 s on GPU 3" in texts((folder / "screen.svg").read_text())


@pytest.mark.parametrize("size", [(1, 1), (2, 40), (300, 4)])
async def test_on_a_screen_of_any_size(app, here, size):
    app = app("rtx3090-pair")
    async with app.run_test(size=size) as pilot:
        app.step()
        for number in range(1, len(TABS) + 1):
            await pilot.press(str(number))
            assert picture(app.main, app.view, Redactor({})).startswith("<svg")
        await pilot.press("f8")
        await saved(app, pilot, here)


async def test_a_snapshot_written_while_leaving_is_reported_afterwards(app, here):
    app = app("rtx3090-pair")
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        await pilot.press("f8")
        await saved(app, pilot, here)
        assert app.finish_files() == ("", False), "it was shown on the screen"
        app._snapshots.take(app.main, app.view, app.feed.monitor.frame(), app.feed.history)
        message, _ = app.finish_files()
    assert message.startswith(f"snapshot in {next(here.glob('*-2')).name}, redacted")


async def test_before_the_first_answer(here):
    tick = Tick(10.0, 1e9, 0.25, "starting", (Call("main", "nvmlInit", None, 2.0),))
    app = Nvltop(offscreen.FixedSource(tick), Settings())
    async with app.run_test(size=SIZE) as pilot:
        app.step()
        await pilot.press("f8")
        [folder] = await saved(app, pilot, here)
        assert "has not returned from nvmlInit for 8.0s" in (folder / "report.md").read_text()


async def test_by_itself_when_something_critical_is_found(app, here):
    for asked, count in ((False, 0), (True, 1)):
        run = app("hgx-a100-4", "gpu-lost", snapshot_on_critical=asked)
        async with run.run_test(size=SIZE) as pilot:
            for _ in range(20):
                run.source.advance(1.0)
                run.step()
            await saved(run, pilot, here, count)
            assert run.clipboard == "", "what the person has copied is theirs"
    assert "critical finding" in next(here.glob("*/report.md")).read_text()


def test_a_rule_has_one_an_hour():
    critical = CriticalTrigger()
    other = replace(CRITICAL, rule="link-down", summary="A link is down")
    mild = replace(CRITICAL, severity=Severity.WARNING, rule="power")
    assert critical.cause([mild], 0.0) == ""
    assert critical.cause([CRITICAL, other, mild], 1.0) == "critical finding: A GPU has gone"
    assert critical.cause([other], 2.0) == "", "it was in the one before"
    assert critical.cause([], 1800.0) == ""
    assert critical.cause([CRITICAL], 3600.0) == ""
    assert critical.cause([CRITICAL], 3601.0) != ""
    assert critical.cause([mild, other], 3602.0) == "critical finding: A link is down"


async def test_of_a_replay(app, here):
    live = app("hgx-a100-4", "training")
    async with live.run_test(size=SIZE) as pilot:
        live.step()
        await pilot.press("f8")
        [folder] = await saved(live, pilot, here)
    replayed = Nvltop(ReplaySource(folder), Settings(snapshot_on_critical=True))
    async with replayed.run_test(size=SIZE) as pilot:
        replayed.step()
        await pilot.press("f8")
        folders = await saved(replayed, pilot, here, 2)
    again = next(f for f in folders if f != folder)
    assert "replay of a recording" in (again / "report.md").read_text()
    uuids = [g["uuid"] for g in json.loads((again / "snapshot.json").read_text())["gpus"]]
    assert uuids == ["GPU-a1", "GPU-a2", "GPU-a3", "GPU-a4"]


def test_a_picture_without_a_screen(bench):
    b = bench("hgx-a100-4", "errors")
    b.interval_s = 1.0
    b.history = RateHistory()
    b.run(4.0)
    svg = offscreen.draw(b.monitor, b.history, Redactor({}), Settings())
    assert "https://" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert 'xml:space="preserve"' in svg
    text = texts(svg)
    for words in ("SIMULATED", "NV4", "12/12", "F8"):
        assert words in text


async def test_a_picture_of_the_current_tab_alone(app, here):
    app = app("hgx-a100-4")
    async with app.run_test(size=SIZE) as pilot:
        send_users(app)
        await pilot.press(PROCESSES, "P")
        app._snapshots.wait()
        await pilot.pause()
        [file] = here.iterdir()
        assert re.fullmatch(r"nvltop-hgx-a100-4-\d{8}-\d{6}\.svg", file.name)
        svg = file.read_text()
        assert re.search(r"user-\d", texts(svg))
        assert not any(secret in svg for secret in SECRETS)
        [notice] = app._notifications
        assert notice.message == f"picture of Processes in {file.name}, redacted"


def test_the_end_reports_a_snapshot_that_is_not_written_yet(monkeypatch):
    monkeypatch.setattr(snapshots, "WRITE_TIMEOUT_S", 0.05)
    taker, written = snapshots.SnapshotTaker(False, False, lambda text, failed: None), threading.Event()
    taker._thread = threading.Thread(target=written.wait, args=(10,), name="snapshot", daemon=True)
    taker._thread.start()
    assert taker.wait() == "the snapshot was not written: it took longer than 0.05 s"
    written.set()
    taker._thread.join()
    assert taker.wait() == ""
