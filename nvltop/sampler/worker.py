"""The worker process: read NVML and the host, write items to a pipe, exit when the pipe is closed.

`launch` starts it. What is not quick has a thread of its own, so that a slow call does not delay the
others. Each driver call in progress is visible in shared memory. When the worker fails, the last line on its
stderr is the reason.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

from nvltop.allocator import share_one_arena
from nvltop.gc_tuning import disable_during_startup
from nvltop.host.host_stats import HostStats
from nvltop.model import Inventory, Reading
from nvltop.nvml.call_tracker import WAITING_CALLS, CallTracker
from nvltop.sampler import schedule, stuck_workers
from nvltop.sampler.pipe import Sender
from nvltop.sampler.protocol import HEARTBEAT_S, WORKER_NAME, WorkerConfig, exit_on_failure
from nvltop.sampler.schedule import RequestedInterval
from nvltop.sampler.task import Task
from nvltop.sampler.task_threads import TaskThreads


def send_heartbeats(watch: CallTracker, ended: threading.Event) -> None:
    """Write the time to shared memory at intervals; a stopped or frozen process does not.

    When the sampler has started, its watchdog writes the heartbeats and sets `ended`.
    """
    watch.heartbeat()
    while not ended.wait(HEARTBEAT_S):
        watch.heartbeat()


def host_task() -> Task:
    """Return the task that reads the host's CPU and memory usage; its first run begins the first span."""
    stats = HostStats()
    has_begun = False

    def read(start_s: float) -> list[Reading]:
        nonlocal has_begun
        host, is_first, has_begun = stats.read(), not has_begun, True
        return [] if is_first else [Reading(None, start_s, time.monotonic(), time.time(), host)]

    return Task("host", read, schedule.HOST_S, (0.0, schedule.FIRST_HOST_S))


def follow_parent(
    watch: CallTracker, stop: threading.Event, requested: RequestedInterval, finish_calls: bool
) -> None:
    """Read intervals from stdin, one per line; exit when the main process closes it.

    With `finish_calls`, wait for driver calls in progress first: ending the process during a call has
    crashed the GPU's firmware (dcgm-exporter#84).
    """
    with contextlib.suppress(OSError):
        while lines := os.read(0, 4096):
            with contextlib.suppress(ValueError):
                requested.interval_s = float(lines.split()[-1])
    stop.set()
    announced = None
    while finish_calls and (
        calls := [call for call in watch.in_flight() if call.function not in WAITING_CALLS]
    ):
        oldest_s = time.monotonic() - min(call.since_s for call in calls)
        if announced is None and oldest_s > stuck_workers.STUCK_AFTER_S:
            announced = stuck_workers.announce({call.gpu for call in calls})
        if announced:
            stuck_workers.accept_probes(announced)
        # Polled, because a thread that is stuck in the driver cannot signal anything.
        time.sleep(0.02)
    os._exit(0)


def main() -> None:
    """Run one worker; when it fails, write why to stderr and end the process, whatever its threads are in."""
    exit_on_failure(_run)()


def _run() -> None:
    disable_during_startup()
    share_one_arena()
    config = WorkerConfig.from_argument(sys.argv[1])
    # The inventory is read on this thread. From Python 3.14 on, its name renames the process too.
    threading.current_thread().name = "inventory"
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:
        comm.write(WORKER_NAME)
    watch = CallTracker(config.watch_fd)
    os.close(config.watch_fd)
    requested = RequestedInterval(config.interval_s)
    pipe = Sender(config.items_fd, requested, config.frame_s)
    stop, watchdog_runs = threading.Event(), threading.Event()
    for name, work in (
        ("heartbeat", lambda: send_heartbeats(watch, watchdog_runs)),
        ("parent", lambda: follow_parent(watch, stop, requested, finish_calls=config.demo is None)),
    ):
        threading.Thread(target=exit_on_failure(work), name=name, daemon=True).start()
    tasks = TaskThreads(pipe.send, stop)
    tasks.start(host_task())
    # Imported late, so that the threads above already run while the modules load.
    from nvltop.nvml.binding import check_binding

    problem = check_binding()
    if problem:
        pipe.send(Inventory(time.monotonic(), time.time(), problem=problem))
    else:
        from nvltop.sampler.sampler import run

        run(config, watch, pipe.send, stop, requested, watchdog_runs, tasks)
    # `follow_parent` ends the process, once no thread is in a driver call.
    threading.Event().wait()
