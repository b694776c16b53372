"""Which thread does a task: one of its own, or a poll thread whose guest it is.

A thread that wakes up finds the caches of the processor cold, and a small task then takes several times as
long. So a thread that reads link counters does small tasks after them. A task begins on a thread of its own,
and becomes a guest once it is known to be quick. A guest that has become slow gets a thread of its own again.
If the poll thread is blocked, by a GPU or a guest, all that waits for it gets other threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from nvltop.model import Item
from nvltop.sampler.poll_threads import PollThread
from nvltop.sampler.protocol import exit_on_failure
from nvltop.sampler.task import Guests, Task

MAX_DELAY_S: Final = 1.0
"""Longest time, in seconds, by which a task is delayed when it becomes a guest."""


class TaskThreads:
    """Runs tasks until `stop` is set."""

    def __init__(self, send: Callable[..., None], stop: threading.Event) -> None:
        self._send = send
        self._stop = stop
        self.guests: Callable[[], Guests | None] = lambda: None
        """Return the guests of the thread that is to do quick tasks as well; None while there is none."""

    def start(self, *tasks: Task) -> None:
        """Give each task a thread of its own."""
        for task in tasks:
            threading.Thread(
                target=exit_on_failure(self.run_alone), args=(task,), name=task.name, daemon=True
            ).start()

    def run_alone(self, task: Task) -> None:
        """Run a task on this thread until it becomes a guest."""
        while not self._stop.wait(max(0.0, task.periodic.next_s - time.monotonic())):
            if task.ended() or self._becomes_guest(task):
                return
            self._send(*task.run())

    def _becomes_guest(self, task: Task) -> bool:
        guests = self.guests() if task.may_be_guest and task.is_quick else None
        if guests is None or guests.thread_next_s > task.periodic.next_s + MAX_DELAY_S:
            return False
        return guests.admit(task)

    def run_guests(self, thread: PollThread, now_s: float, slack_s: float) -> list[Item]:
        """Run the guests of a thread that are due now or within `slack_s`; return what is to be sent."""
        items: list[Item] = []
        for task in thread.guests_in_turn(now_s, slack_s):
            items += task.run(slack_s)
            if task.ended():
                continue
            # A thread that takes no guest back was blocked by this one.
            if task.is_slow or not thread.guests.put_back(task):
                task.may_be_guest = False
                self.start(task)
        return items
