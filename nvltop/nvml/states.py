"""State and speed of every link of one GPU."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import Final

import pynvml

from nvltop.frozen import mutable
from nvltop.model import LinkState, LinkStates, Maybe, Missing, known
from nvltop.nvml.device import Device, per_link_request
from nvltop.nvml.driver import Driver
from nvltop.nvml.fields import FieldRequest, FieldValues

SPEED_FIELD: Final = 164
STATE_FIELD: Final = 165
COMMON_SPEED_FIELD: Final = 90
"""Field ids (nvml.h, NVML_FI_DEV_NVLINK_*)."""
FIRST_SPEED_FIELDS: Final = (84, 132)
"""First field ids of the speeds of links 0-5 and of links 6-11, for drivers without field 164."""
MAX_LINKS_WITH_OWN_FIELD: Final = 12
"""Number of links with such a field."""

LINK_STATES: Final = {
    0: LinkState.DOWN,
    1: LinkState.UP,
    2: LinkState.SLEEP,
    3: LinkState.TRAFFIC_DISABLED,
}
"""Link states by value of field 165; 2 exists since NVML 12.570, 3 since 13.615."""
NO_SPEED: Final = Missing("link is down")
READS_PER_ROUND: Final = 6
"""Number of readings in which each link is read once, on boards that need a call for each link.

`recheck` reads links at once whose counter has become readable or unreadable.
"""


@mutable
class StateReader:
    """Reader of link states and speeds of one GPU; it determines once what the driver supports."""

    driver: Driver
    device: Device
    _fields: tuple[int, ...] | None = field(default=None, init=False)
    """Which of state and speed are read as fields; None before the first reading."""
    _states: list[Maybe[LinkState]] = field(default_factory=list, init=False)
    _speeds: list[Maybe[float]] = field(default_factory=list, init=False)
    _next_link: int = field(default=0, init=False)
    _answer: Maybe[FieldValues] | None = field(default=None, init=False)
    """Field values that `_states` and `_speeds` were last read from."""
    _result: LinkStates | None = field(default=None, init=False)
    """`_states` and `_speeds` as last returned; None if they have been read from another answer since."""

    def read(self) -> Maybe[LinkStates]:
        """Read the links; if each needs a call, read a sixth of them and return the others as last read."""
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
        if self._result is None:
            self._result = LinkStates(tuple(self._states), tuple(self._speeds))
        return self._result

    @property
    def any_link_active(self) -> bool:
        """Whether any link is active or may be; reads the links if that has not been done yet."""
        if self._fields is None:
            self.read()
        return any(state is not LinkState.DOWN for state in self._states)

    def recheck(self, links: Iterable[int]) -> None:
        """Read the states of these links again now."""
        if self._fields is not None and STATE_FIELD not in self._fields:
            self._call(links)

    def _probe(self, links: int) -> tuple[int, ...]:
        self._states = [NO_SPEED] * links
        self._call(range(links))
        called = list(self._states)
        self._speeds = self._old_speeds(links)
        old = list(self._speeds)
        self._read_fields((STATE_FIELD, SPEED_FIELD), links)
        supported = []
        # The state field is used only if it agrees with the call: some drivers return SUCCESS and 0 for a
        # field that they do not support.
        if any(known(s) for s in self._states) and all(
            isinstance(call, Missing) or (known(now) and (now is LinkState.DOWN) == (call is LinkState.DOWN))
            for call, now in zip(called, self._states, strict=True)
        ):
            supported.append(STATE_FIELD)
        else:
            self._states = called
        if any(known(s) for s in self._speeds):
            supported.append(SPEED_FIELD)
        else:
            self._speeds = old
        return tuple(supported)

    def _read_fields(self, ids: tuple[int, ...], links: int) -> None:
        if not ids:
            return
        request = per_link_request(ids, links)
        answer = request.read(self.driver, self.device.handle, self.device.index, self._answer)
        if answer is self._answer:
            return
        self._answer, self._result = answer, None
        values = [answer] * links * len(ids) if isinstance(answer, Missing) else answer.values
        for begin, field_id in enumerate(ids):
            own = values[begin * links : (begin + 1) * links]
            if field_id == STATE_FIELD:
                self._states = [_state(v) for v in own]
            else:
                self._speeds = [_speed(v) for v in own]

    def _call(self, links: Iterable[int]) -> None:
        self._result = None
        for link in links:
            self._states[link] = _state(
                self.driver.call(
                    pynvml.nvmlDeviceGetNvLinkState, self.device.handle, link, gpu=self.device.index
                )
            )

    def _old_speeds(self, links: int) -> list[Maybe[float]]:
        """Read the speeds from the fields that each link has, else from the common field."""
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
    """Return MB/s as bytes/s; the driver returns 0 for a link that is down."""
    if isinstance(value, Missing):
        return value
    return value * 1e6 if value > 0 else NO_SPEED
