"""The worker process: reads NVML and the host, writes items to its pipe, ends when the pipe does.

`launch` starts it. One thread per clock, so that a slow call of one kind does not delay the others; each
driver call is noted in shared memory while it lasts. When it fails, the last line on its stderr says why.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from nvltop.gc_tuning import disable_during_startup
from nvltop.host.host_stats import read_host
from nvltop.model import Inventory, Reading
from nvltop.nvml.call_tracker import WAITS, Watch
from nvltop.sampler import schedule, waiting
from nvltop.sampler.pipe import Sender
from nvltop.sampler.protocol import BEAT_S, WORKER_NAME, Job, guarded
from nvltop.sampler.schedule import Pace


def beat(watch: Watch, stop: threading.Event) -> None:
    """Note now and then that this process runs, which one that is stopped or frozen does not."""
    watch.beat()
    while not stop.wait(BEAT_S):
        watch.beat()


def sample_host(pipe: Sender, stop: threading.Event) -> None:
    """Read the host's meters once a second."""
    read_host()
    while not stop.wait(schedule.HOST_S):
        start = time.monotonic()
        host = read_host()
        pipe.send(Reading(None, start, time.monotonic(), time.time(), host))


def listen(watch: Watch, stop: threading.Event, pace: Pace, waits: bool) -> None:
    """Take what the main process says on our stdin, one interval a line; when it is closed, end.

    A driver call under way is waited for, if `waits`: ending the process in the middle of one has been seen
    to take the GPU's firmware down (dcgm-exporter#84).
    """
    with contextlib.suppress(OSError):
        while said := os.read(0, 4096):
            with contextlib.suppress(ValueError):
                pace.interval_s = float(said.split()[-1])
    stop.set()
    waited = None
    while waits and (calls := [call for call in watch.under_way() if call.function not in WAITS]):
        if waited is None and time.monotonic() - min(call.since_s for call in calls) > waiting.WORTH_S:
            waited = waiting.announce({call.gpu for call in calls})
        if waited:
            waiting.answer(waited)
        # Polled: a thread stuck in the driver cannot tell us anything.
        time.sleep(0.02)
    os._exit(0)


def main() -> None:
    """Run one worker; when it fails, write why to stderr and end the process, whatever its threads are in."""
    guarded(_run)()


def _run() -> None:
    disable_during_startup()
    job = Job.from_argument(sys.argv[1])
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(WORKER_NAME)
    watch = Watch(job.watch_fd)
    os.close(job.watch_fd)
    pace = Pace(job.interval_s)
    pipe = Sender(job.items_fd, pace)
    stop = threading.Event()
    for name, work in (
        ("beat", lambda: beat(watch, stop)),
        ("parent", lambda: listen(watch, stop, pace, waits=job.demo is None)),
        ("host", lambda: sample_host(pipe, stop)),
    ):
        threading.Thread(target=guarded(work), name=name, daemon=True).start()
    # Imported late: the threads above already run while the modules load.
    from nvltop.nvml.binding import wrong_binding

    problem = wrong_binding()
    if problem:
        pipe.send(Inventory(time.monotonic(), time.time(), problem=problem))
    else:
        from nvltop.sampler.sampler import run

        run(job, watch, pipe.send, stop, pace)
    # Told to stop: `listen` ends the process, once no thread is in a driver call.
    threading.Event().wait()
