"""Tasks that are done at intervals, and the guests of a poll thread: tasks that it does as well."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from nvltop.model import Item
from nvltop.sampler.schedule import Periodic

QUICK_S: Final = 0.005
"""Longest duration of a quick run, seconds: all guests fit into the shortest interval, 0.1 s."""
RUNS: Final = 3
"""Number of runs in succession that are quick before a task becomes a guest."""
SLOW_RUNS: Final = 2
"""Number of slow runs in succession after which a guest leaves: a single one may be slow by chance."""


class Task:
    """Something that is read at intervals, by one thread at a time."""

    def __init__(
        self,
        name: str,
        read: Callable[[float], Sequence[Item]],
        every_s: float,
        first_s: Sequence[float] = (0.0,),
        ended: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create a task; `read` gets the time at which it begins, and returns what is to be sent.

        `first_s` has the delay of the first run, and the time from there to the second one, seconds.
        """
        self.name = name
        self.ended = ended
        self.periodic = Periodic(every_s, time.monotonic() + first_s[0])
        self.may_be_guest = True
        """Whether the task may become a guest; not after it was slow as a guest."""
        self._read = read
        self._first_s = deque(first_s[1:])
        self._took_s: deque[float] = deque(maxlen=RUNS)
        """Durations of the last runs, seconds."""

    @property
    def is_quick(self) -> bool:
        """Whether all of the last runs were quick, and there were enough."""
        return len(self._took_s) == RUNS and max(self._took_s) <= QUICK_S

    @property
    def is_slow(self) -> bool:
        """Whether the last runs were slow, not only one by chance."""
        return min(list(self._took_s)[-SLOW_RUNS:]) > QUICK_S

    def run(self, slack_s: float = 0.0) -> Sequence[Item]:
        """Read, schedule the next run, and return what is to be sent."""
        start_s = time.monotonic()
        items = self._read(start_s)
        self._took_s.append(time.monotonic() - start_s)
        # Afterwards, because reading may change the interval.
        self.periodic.due(start_s, slack_s)
        if self._first_s:
            self.periodic.next_s = start_s + self._first_s.popleft()
        return items


class Guests:
    """The tasks that a poll thread does after its own work; can be used from any thread.

    A task that is being done is not in here: it is in the hands of the one thread that does it.
    """

    def __init__(self) -> None:
        self.thread_next_s = 0.0
        """When the thread reads its GPUs next."""
        self._lock = threading.Lock()
        self._waiting: list[Task] = []
        self._closed = False

    @property
    def next_s(self) -> float:
        """When the first task is due; infinity if there is none."""
        with self._lock:
            return min((task.periodic.next_s for task in self._waiting), default=math.inf)

    def admit(self, task: Task) -> bool:
        """Add a new guest, which is next due when the thread reads; return whether that is possible."""
        with self._lock:
            if not self._closed:
                task.periodic.next_s = self.thread_next_s
                self._waiting.append(task)
            return not self._closed

    def put_back(self, task: Task) -> bool:
        """Add a guest that has been done; return whether it may stay."""
        with self._lock:
            if not self._closed:
                self._waiting.append(task)
            return not self._closed

    def take(self, now_s: float, slack_s: float) -> Task | None:
        """Remove and return a task that is due now or within `slack_s`; None if there is none."""
        with self._lock:
            for task in self._waiting:
                if task.periodic.next_s <= now_s + slack_s:
                    self._waiting.remove(task)
                    return task
        return None

    def close(self) -> Sequence[Task]:
        """Accept no task any more; remove and return those that wait."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        return waiting
