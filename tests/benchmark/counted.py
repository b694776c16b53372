"""Count what nvltop does in a minute of a simulated node's time, which takes a few seconds of ours.

The real code runs: the loops of the reading process, the pipe, the screen in its event loop. Only the
clock is ours, and threads run one after the other. So the counts depend on nothing but the code: they are
the same on any machine, under any load, and with any supported version of Python.
"""

from __future__ import annotations

import asyncio
import cProfile
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, SimpleNamespace
from typing import Any, Protocol

from simulated_time import BEGIN_S, OURS, WALL_S, Clock, Loop, Stop, on_clock
from textual.drivers.headless_driver import HeadlessDriver

from nvltop.config.settings import FRAME_INTERVAL_S, Settings
from nvltop.model import Host, Item, Reading, Tick
from nvltop.nvml import session, simulated
from nvltop.nvml.call_tracker import CallTracker
from nvltop.nvml.simulated.nics import SimulatedNics
from nvltop.sampler.nic_monitor import NicMonitor
from nvltop.sampler.pipe import Sender
from nvltop.sampler.poll_threads import PollThread
from nvltop.sampler.protocol import WorkerConfig
from nvltop.sampler.sampler import Sampler
from nvltop.sampler.schedule import HOST_S, RequestedInterval
from nvltop.sampler.task_threads import TaskThreads
from nvltop.wire.pipe_codec import Receiver

INTERVAL_S = 0.25
WARM_UP_S, FULL_S = 10.0, 30.0
"""What is learned at the start, and sparklines that are not full yet, are not what leaving it open costs."""
READ_S, DRAW_S = 60.0, 8.0
"""For how long reading and sending, and folding and drawing, are counted."""
SIZE = (120, 40)
TABS = {"Main": "1", "Links": "2"}

Counts = dict[str, float]
Sent = list[tuple[float, list[Item]]]
SIMULATED = os.path.join(OURS, "nvml", "simulated")
WARM_S = BEGIN_S + WARM_UP_S
DRAWN_S = BEGIN_S + FULL_S


class Calls:
    """Counts the calls that nvltop's code makes: of its own functions, of libraries and of builtins.

    Comprehensions and generator expressions are not counted, since Python 3.12 makes no calls of them.
    """

    def __init__(self) -> None:
        self._profile = cProfile.Profile()
        self.is_counting = False

    def begin(self) -> None:
        self.is_counting = True
        self._profile.enable()

    def end(self) -> None:
        self._profile.disable()
        self.is_counting = False

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.begin()
        try:
            yield
        finally:
            self.end()

    @property
    def count(self) -> int:
        made = 0
        for entry in self._profile.getstats():
            if isinstance(entry.code, CodeType) and _ours(entry.code.co_filename):
                made += sum(called.callcount for called in entry.calls or () if _counts(called.code))
        return made


def _ours(file: str) -> bool:
    return file.startswith(OURS) and not file.startswith(SIMULATED)


def _counts(code: CodeType | str) -> bool:
    return isinstance(code, str) or not code.co_name.startswith("<")


class Meter(Protocol):
    """Counts or measures what is done between `begin` and `end`, after the warm-up."""

    def begin(self) -> None: ...

    def end(self) -> None: ...


def read(
    node: str,
    scenario: str,
    clock: Clock,
    counts: Counts,
    interval_s: float = INTERVAL_S,
    meter: Meter | None = None,
) -> Sent:
    """Run the loops of the reading process, and return what they send when; `meter` replaces the count."""
    library = simulated.install(node, scenario, clock=clock, wall=clock.wall)
    sent: Sent = []
    calls, warm_calls = Calls(), Counter[str]()
    meter = meter or calls

    def warm() -> None:
        warm_calls.update(library.calls)
        meter.begin()

    stop = Stop(clock, WARM_S, WARM_S + READ_S, warm)
    counted = Counter[str]()
    for thread in reading_threads(library, (node, scenario), clock, interval_s, stop, sent):
        clock.now = BEGIN_S
        thread()
        meter.end()
        counted += library.calls - warm_calls
        for seen in (library.calls, warm_calls):
            seen.clear()
    counts.update({f"NVML {name}": n / READ_S for name, n in counted.items() if n})
    counts["calls to read"] = calls.count / READ_S
    host = Reading(None, 0.0, 0.0, 0.0, Host(12.5, 412 << 30, 2048 << 30))
    for at_s in itertools.takewhile(lambda s: s < WARM_S + READ_S, itertools.count(BEGIN_S + HOST_S, HOST_S)):
        sent.append((at_s, [Reading(None, at_s, at_s, WALL_S + at_s, host.data)]))
    return sorted(sent, key=lambda s: s[0])


def reading_threads(
    library: simulated.Library,
    demo: tuple[str, str],
    clock: Clock,
    interval_s: float,
    waits_on: Stop,
    sent: Sent,
) -> tuple[Callable[[], None], ...]:
    """Return the loops of the reading process, which add to `sent` and end with `waits_on`."""

    def send(*items: Item) -> None:
        sent.append((clock.now, list(items)))

    stop: Any = waits_on
    nics, tasks = NicMonitor(SimulatedNics(library), send), TaskThreads(send, stop)
    watch, job = CallTracker(), WorkerConfig(0, 0, interval_s, demo)
    requested = RequestedInterval(interval_s)
    sampler = Sampler(job, session.new_session(watch), watch, send, stop, requested, nics, tasks)
    sampler.open()
    sampler._inventory_due = sampler._refresh._traffic = stop
    one = PollThread([reader.device.uuid for reader in sampler._session.readers])
    for poll_threads in (sampler._fast, sampler._slow, sampler._processes):
        poll_threads._threads = [one]
    return (
        lambda: sampler.read_fast(one),
        lambda: sampler._slow._work(one), lambda: sampler._processes._work(one),
        lambda: tasks.run_alone(nics.task()), lambda: tasks.run_alone(sampler._cost.task()),
        sampler.watch_inventory, sampler._refresh.run,
    )  # fmt: skip


def pack(
    sent: Sent, clock: Clock, counts: Counts, interval_s: float = INTERVAL_S, meter: Meter | None = None
) -> list[tuple[float, bytes]]:
    """Send items through the pipe, and return the bursts that come out when."""
    calls, bursts = Calls(), []
    meter = meter or calls
    pipe = os.memfd_create("pipe")
    clock.now = BEGIN_S
    sender = Sender(pipe, RequestedInterval(interval_s), FRAME_INTERVAL_S)
    for at_s, items in sent:
        clock.now = at_s
        if at_s >= WARM_S:
            meter.begin()
        sender.send(*items)
        meter.end()
        if burst := os.pread(pipe, 1 << 24, 0):
            os.ftruncate(pipe, 0)
            os.lseek(pipe, 0, os.SEEK_SET)
            bursts.append((at_s, burst))
    os.close(pipe)
    warm = [burst for at_s, burst in bursts if at_s >= WARM_S]
    counts["bursts through the pipe"] = len(warm) / READ_S
    counts["bytes through the pipe"] = sum(map(len, warm)) / READ_S
    counts["calls to send"] = calls.count / READ_S
    return bursts


class Terminal(HeadlessDriver):
    """A terminal that counts what it is sent."""

    bytes_written = 0

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        Terminal.bytes_written += len(data.encode())

    def is_busy(self, when_ready: Callable[[], None]) -> bool:
        return False


class Arrived:
    """The main process's end of the pipe."""

    def __init__(self, clock: Clock, interval_s: float) -> None:
        self._clock, self._interval_s, self._receiver = clock, interval_s, Receiver()
        self.arrived = b""

    def fileno(self) -> int:
        return 0

    def drain(self) -> list[Item]:
        chunk, self.arrived = self.arrived, b""
        return self._receiver.feed(chunk)

    def tick(self) -> Tick:
        return Tick(self._clock.now, WALL_S + self._clock.now, self._interval_s)

    def set_interval(self, interval_s: float) -> None:
        pass

    def close(self) -> None:
        pass


def draw(
    tab: str,
    bursts: Iterable[tuple[float, bytes]],
    clock: Clock,
    counts: Counts,
    interval_s: float = INTERVAL_S,
    size: tuple[int, int] = SIZE,
    seconds: float = DRAW_S,
    warmed_up: Callable[[], None] = lambda: None,
    profiled: bool = True,
) -> None:
    """Let the screen show what arrives on one of its tabs; call `warmed_up` when the counts begin."""
    from nvltop.tui.shell import app as screen
    from nvltop.tui.shell import frame_scheduler, lifecycle

    clock.now = BEGIN_S
    loop, source = Loop(clock), Arrived(clock, interval_s)
    folding, drawing = Calls(), Calls()
    frames = 0
    replaced: list[tuple[Any, str, Any]] = [
        (frame_scheduler, "asyncio", SimpleNamespace(get_running_loop=lambda: loop)),
        (lifecycle, "TtyDriver", Terminal),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    for module, name, value in replaced:
        setattr(module, name, value)

    async def shown() -> None:
        nonlocal frames
        app = screen.Nvltop(source, Settings(interval_s=interval_s))
        paint, draw_frame = app.main.draw_frame, app.step
        warm = False

        def painted() -> None:
            if not warm:
                return paint()
            # A frame is also drawn without folding, as after a key. A profile that is left enabled switches
            # off the one that counts, at the moment when it is collected as garbage.
            is_folding = folding.is_counting
            if is_folding:
                folding.end()
            with drawing.counting():
                paint()
            if is_folding:
                folding.begin()

        def drawn() -> None:
            nonlocal frames
            if not warm:
                return draw_frame()
            frames += 1
            with folding.counting():
                draw_frame()

        if profiled:
            vars(app.main)["draw_frame"], app._frames._draw = painted, drawn
        async with app.run_test(headless=False, size=size) as pilot:
            await pilot.press(TABS[tab])
            for at_s, burst in itertools.takewhile(lambda b: b[0] < DRAWN_S + seconds, bursts):
                loop.run_until(at_s)
                source.arrived += burst
                if loop.reader:
                    loop.reader()
                await asyncio.sleep(0)
                if not warm and at_s >= DRAWN_S:
                    await pilot.pause()
                    Terminal.bytes_written, warm = 0, True
                    warmed_up()
            await pilot.pause()
            counts[f"bytes to the terminal, {tab}"] = Terminal.bytes_written / seconds
            app._frames.stop()

    try:
        asyncio.run(shown())
    finally:
        for module, name, value in before:
            setattr(module, name, value)
    counts["frames"] = frames / seconds
    counts["calls to fold"] = folding.count / seconds
    counts[f"calls to draw, {tab}"] = drawing.count / seconds


def count(node: str, scenario: str) -> dict[str, float]:
    """Return how often each thing is done in a second of the simulated node's time."""
    counts: Counts = {}
    clock = Clock()
    with on_clock(clock):
        try:
            bursts = pack(read(node, scenario, clock, counts), clock, counts)
        finally:
            simulated.uninstall()
        for tab in TABS:
            draw(tab, bursts, clock, counts)
    assert threading.active_count() < 10, "no loop of the sampler has started a thread"
    counts["NVML calls in all"] = sum(n for name, n in counts.items() if name.startswith("NVML "))
    return {name: round(n, 3) for name, n in sorted(counts.items())}
