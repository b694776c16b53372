"""Times as differences: exact, and short for whole microseconds, in which the worker sends them.

A whole number of microseconds is written as the integer difference to the previous time, any other float as
itself.
"""

from __future__ import annotations

from typing import Final

from nvltop.frozen import mutable
from nvltop.wire.schema import CodecError

US: Final = 10**6
MAX_S: Final = 1e11
"""Limit of times, seconds: some three thousand years."""
MAX_STEP: Final = 1 << 68


def to_us(seconds: float) -> int | None:
    """Return `seconds` in microseconds; None if the float is not that of a whole number of microseconds."""
    us = round(seconds * US)
    return us if us / US == seconds else None


@mutable
class TimeDeltas:
    """The newest time of a stream, and the difference of the wall clock to it, in µs."""

    mono_us: int = 0
    ahead_us: int = 0

    def write(self, *mono_s: float, wall_s: float) -> list[float]:
        """Return times of CLOCK_MONOTONIC, and the Unix time of the last one, as differences."""
        steps = []
        for seconds in mono_s:
            step, self.mono_us = _step(seconds, self.mono_us)
            steps.append(step)
        step, wall_us = _step(wall_s, self.mono_us + self.ahead_us)
        self.ahead_us = wall_us - self.mono_us
        return [*steps, step]

    def read(self, steps: list[object]) -> tuple[float, ...]:
        """Return the times of differences; raise `CodecError` if they are not valid."""
        times = []
        for step in steps[:-1]:
            seconds, self.mono_us = _seconds(step, self.mono_us)
            times.append(seconds)
        wall_s, wall_us = _seconds(steps[-1], self.mono_us + self.ahead_us)
        self.ahead_us = wall_us - self.mono_us
        return (*times, wall_s)


def _step(seconds: float, base_us: int) -> tuple[float, int]:
    us = to_us(seconds)
    return (float(seconds), base_us) if us is None else (us - base_us, us)


def _seconds(step: object, base_us: int) -> tuple[float, int]:
    if type(step) is int and -MAX_STEP < step < MAX_STEP:
        base_us += step
        seconds = base_us / US
    elif type(step) is float:
        seconds = step
    else:
        raise CodecError("not a time")
    if not 0 <= seconds < MAX_S:
        raise CodecError("time out of range")
    return seconds, base_us
