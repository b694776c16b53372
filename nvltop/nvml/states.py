"""State and speed of every link of one GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import pynvml

from nvltop.model import LinkState, LinkStates, Maybe, Missing, known
from nvltop.nvml.device import Device, read_per_link
from nvltop.nvml.driver import Driver
from nvltop.nvml.fields import FieldRequest

SPEED_FIELD: Final = 164
STATE_FIELD: Final = 165
COMMON_SPEED_FIELD: Final = 90
FIRST_SPEED_FIELDS: Final = (84, 132)
"""First ids of the speeds of links 0-5 and 6-11, the way before field 164."""
MAX_LINKS_WITH_OWN_FIELD: Final = 12

LINK_STATES: Final = {
    0: LinkState.DOWN,
    1: LinkState.UP,
    2: LinkState.SLEEP,
    3: LinkState.TRAFFIC_DISABLED,
}
"""Values of field 165; 2 since NVML 12.570, 3 since 13.615."""
NO_SPEED: Final = Missing("link is down")
READS_PER_ROUND: Final = 6
"""Where a state costs a call per link, a sixth of the links is asked at each turn; a link whose counter
changes its answer is asked at once (`recheck`)."""


@dataclass(slots=True)
class StateReader:
    """Reads link states and speeds of one GPU by the way that its driver answers, found once."""

    driver: Driver
    device: Device
    _fields: tuple[int, ...] | None = field(default=None, init=False)
    """Which of STATE and SPEED are read as fields at every turn; None before the first."""
    _states: list[Maybe[LinkState]] = field(default_factory=list, init=False)
    _speeds: list[Maybe[float]] = field(default_factory=list, init=False)
    _next_link: int = field(default=0, init=False)

    def read(self) -> Maybe[LinkStates]:
        """Read the links; where that needs a call per link, a sixth of them, the rest as last seen."""
        links = self.device.links
        if isinstance(links, Missing):
            return links
        if links and self._fields is None:
            self._fields = self._probe(links)
        elif self._fields is not None:
            self._read_fields(self._fields, links)
            if STATE_FIELD not in self._fields:
                self._call(range(self._next_link, links, READS_PER_ROUND))
                self._next_link = (self._next_link + 1) % READS_PER_ROUND
        return LinkStates(tuple(self._states), tuple(self._speeds))

    @property
    def any_link_active(self) -> bool:
        """Whether any link is up, or may be, as far as was read; reads the links if none was yet."""
        if self._fields is None:
            self.read()
        return any(state is not LinkState.DOWN for state in self._states)

    def recheck(self, links: Iterable[int]) -> None:
        """Ask these links again now, their counters having changed their answer."""
        if self._fields is not None and STATE_FIELD not in self._fields:
            self._call(links)

    def _probe(self, links: int) -> tuple[int, ...]:
        self._states = [NO_SPEED] * links
        self._call(range(links))
        called = list(self._states)
        self._speeds = self._old_speeds(links)
        old = list(self._speeds)
        self._read_fields((STATE_FIELD, SPEED_FIELD), links)
        believed = []
        # A field is believed only where it says what the call says: some drivers answer SUCCESS
        # with 0 for fields that they do not know.
        if any(known(s) for s in self._states) and all(
            isinstance(call, Missing) or (known(now) and (now is LinkState.DOWN) == (call is LinkState.DOWN))
            for call, now in zip(called, self._states, strict=True)
        ):
            believed.append(STATE_FIELD)
        else:
            self._states = called
        if any(known(s) for s in self._speeds):
            believed.append(SPEED_FIELD)
        else:
            self._speeds = old
        return tuple(believed)

    def _read_fields(self, ids: tuple[int, ...], links: int) -> None:
        if not ids:
            return
        values = read_per_link(self.driver, self.device, ids, links)
        if isinstance(values, Missing):
            states: list[Maybe[LinkState]] = [values] * links
            speeds: list[Maybe[float]] = [values] * links
        else:
            states = [_state(v) for v in values.get(STATE_FIELD, ())]
            speeds = [_speed(v) for v in values.get(SPEED_FIELD, ())]
        if STATE_FIELD in ids:
            self._states = states
        if SPEED_FIELD in ids:
            self._speeds = speeds

    def _call(self, links: Iterable[int]) -> None:
        for link in links:
            self._states[link] = _state(
                self.driver.call(
                    pynvml.nvmlDeviceGetNvLinkState, self.device.handle, link, gpu=self.device.index
                )
            )

    def _old_speeds(self, links: int) -> list[Maybe[float]]:
        """Read the speeds from the fields with the link's number in their id, else from field 90."""
        n = min(links, MAX_LINKS_WITH_OWN_FIELD)
        ids = ((FIRST_SPEED_FIELDS[link // 6] + link % 6, link) for link in range(n))
        answer = FieldRequest(*ids, (COMMON_SPEED_FIELD, 0)).read(
            self.driver, self.device.handle, self.device.index
        )
        if isinstance(answer, Missing):
            return [answer] * links
        speeds = [_speed(v) for v in answer.values]
        common = speeds[-1]
        return [speeds[i] if i < n and known(speeds[i]) else common for i in range(links)]


def _state(value: Maybe[int]) -> Maybe[LinkState]:
    if isinstance(value, Missing):
        return value
    return LINK_STATES.get(value) or Missing(f"unknown link state {value}")


def _speed(value: Maybe[int]) -> Maybe[float]:
    """Turn MB/s into bytes/s; a link that is down has none."""
    if isinstance(value, Missing):
        return value
    return value * 1e6 if value > 0 else NO_SPEED
