"""Link counters as differences to a prediction, which have few digits.

The links of a busy GPU carry nearly the same, so the increments of one sweep lie close to their mean,
even when the traffic comes in bursts; where the links differ for good, they lie close to the increments
before. The better prediction is used for each direction. Multiples of 1 KiB are written in KiB.

The residuals are noise, which no compressor makes shorter than its digits. They are packed to about their
entropy, as the digits of one long number in a base just above the largest of them. This number is written in
decimal, because lines of decimal digits only are well suited to a Huffman code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from math import gcd
from operator import sub
from typing import Any, Final, cast

from nvltop.frozen import mutable
from nvltop.model import LinkCounters, Maybe, Missing
from nvltop.wire.schema import MAX_NUMBER, CodecError

UNITS: Final = (1, 1024)
"""Size of the units in bytes, by their number."""
PARTS: Final = 6
"""Number of entries: stamps, unit, guess for TX, guess for RX, base and packed residuals."""
TOO_LONG: Final = 10**4000
"""Limit of a packed number; Python parses slightly more digits (`sys.int_info.default_max_str_digits`)."""


@mutable
class CounterDeltas:
    """The last counters of one GPU, and the increments of the known ones."""

    data: LinkCounters
    tx_moved: list[int] = field(default_factory=list)
    rx_moved: list[int] = field(default_factory=list)

    def write(self, now: LinkCounters, wall_s: float) -> list[Any] | None:
        """Return `now` as differences; None if its shape has changed, which begins a new series."""
        was = self.data
        self.data = now
        before, self.tx_moved, self.rx_moved = (self.tx_moved, self.rx_moved), [], []
        if was.counter is not now.counter or was.scope is not now.scope:
            return None
        tx, rx = _moved(was.tx_bytes, now.tx_bytes), _moved(was.rx_bytes, now.rx_bytes)
        if tx is None or rx is None:
            return None
        self.tx_moved, self.rx_moved = tx, rx
        unit = int(gcd(*tx, *rx, *before[0], *before[1]) % UNITS[1] == 0)
        tx_guess, tx_missed = _guess(tx, before[0], UNITS[unit])
        rx_guess, rx_missed = _guess(rx, before[1], UNITS[unit])
        base, packed = pack(tx_missed + rx_missed)
        if packed >= TOO_LONG:
            return None
        return [_stamps(now.stamp_us, wall_s), unit, tx_guess, rx_guess, base, packed]

    def read(self, parts: list[Any], wall_s: float) -> LinkCounters:
        """Return the counters that `parts` stands for; raise `CodecError` if they do not fit."""
        if len(parts) != PARTS:
            raise CodecError("not counters")
        stamps, unit, tx_guess, rx_guess, base, packed = parts
        if type(unit) is not int or unit not in (0, 1):
            raise CodecError("counters in an unknown unit")
        was = self.data
        tx_n, rx_n = _known(was.tx_bytes), _known(was.rx_bytes)
        missed = unpack(base, packed, tx_n + rx_n)
        tx = _resolve(tx_guess, missed[:tx_n], self.tx_moved, UNITS[unit])
        rx = _resolve(rx_guess, missed[tx_n:], self.rx_moved, UNITS[unit])
        now = LinkCounters(
            was.counter,
            was.scope,
            _add(was.tx_bytes, tx),
            _add(was.rx_bytes, rx),
            _unstamp(stamps, wall_s, len(was.tx_bytes) + len(was.rx_bytes)),
        )
        self.data, self.tx_moved, self.rx_moved = now, tx, rx
        return now


def _known(values: Sequence[Maybe[int]]) -> int:
    return sum(type(v) is int for v in values)


def _moved(was: Sequence[Maybe[int]], now: Sequence[Maybe[int]]) -> list[int] | None:
    if len(was) != len(now):
        return None
    try:
        return list(map(sub, cast(Sequence[int], now), cast(Sequence[int], was)))
    except TypeError:
        pass  # `Missing` cannot be subtracted
    moved = []
    for a, b in zip(was, now, strict=True):
        if isinstance(a, Missing) or isinstance(b, Missing):
            if a != b:
                return None
        else:
            moved.append(b - a)
    return moved


def _guess(moved: list[int], before: list[int], unit: int) -> tuple[int | None, list[int]]:
    """Return the prediction (None for the previous increments) and the residuals, in units."""
    moved = [m // unit for m in moved]
    if not moved:
        return 0, []
    mean = sum(moved) // len(moved)
    by_mean = [m - mean for m in moved]
    if len(before) != len(moved):
        return mean, by_mean
    by_before = list(map(sub, moved, [b // unit for b in before]))
    if sum(map(abs, by_before)) < sum(map(abs, by_mean)):
        return None, by_before
    return mean, by_mean


def _resolve(guess: object, missed: list[int], before: list[int], unit: int) -> list[int]:
    if type(guess) is int:
        return [(guess + m) * unit for m in missed]
    if guess is not None or len(before) != len(missed):
        raise CodecError("no counters before these")
    return [b + m * unit for b, m in zip(before, missed, strict=True)]


def pack(numbers: list[int]) -> tuple[int, int]:
    """Return a base, and integers as the digits of one number in that base, the first lowest."""
    # 0, -1, 1, -2, … become 0, 1, 2, 3, …
    digits = [2 * n if n >= 0 else -2 * n - 1 for n in numbers]
    base = max(digits, default=0) + 1
    packed = 0
    for digit in reversed(digits):
        packed = packed * base + digit
    return base, packed


def unpack(base: object, packed: object, count: int) -> list[int]:
    """Return the `count` numbers that `pack` has packed; raise `CodecError` if they are not valid."""
    if type(base) is not int or not 1 <= base < MAX_NUMBER or type(packed) is not int or packed < 0:
        raise CodecError("not counters")
    numbers = []
    for _ in range(count):
        packed, digit = divmod(packed, base)
        numbers.append(-(digit + 1) // 2 if digit % 2 else digit // 2)
    if packed:
        raise CodecError("more counters than before")
    return numbers


def _add(was: Sequence[Maybe[int]], moved: list[int]) -> tuple[Maybe[int], ...]:
    steps = iter(moved)
    now = tuple([v if isinstance(v, Missing) else v + next(steps) for v in was])
    if not all(isinstance(v, Missing) or 0 <= v < MAX_NUMBER for v in now):
        raise CodecError("a count out of range")
    return now


def _stamps(stamp_us: tuple[int, ...], wall_s: float) -> list[int]:
    """Return NVML's times as differences, the first to the wall time of the reading."""
    before = (int(wall_s * 1e6), *stamp_us)
    return [b - a for a, b in zip(before, stamp_us, strict=False)]


def _unstamp(steps: object, wall_s: float, counters: int) -> tuple[int, ...]:
    if not isinstance(steps, list) or len(steps) not in (0, 1, counters):
        raise CodecError("not NVML's times")
    stamps, at = [], int(wall_s * 1e6)
    for step in steps:
        if type(step) is not int or not -MAX_NUMBER < step < MAX_NUMBER:
            raise CodecError("not NVML's times")
        at += step
        stamps.append(at)
    return tuple(stamps)
