"""What the report of a snapshot is made of, and the few forms of Markdown it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from nvltop.model import Frame

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~])")


class Change(NamedTuple):
    """A link or a GPU that was otherwise from then on."""

    wall_s: float
    gpu: str | None
    """UUID; None for the node."""
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a node, with what must not be told removed."""

    frame: Frame
    cause: str
    """Why it was taken: `F8 was pressed`, `GPU 3 link 7 is down`."""
    removed: tuple[str, ...]
    versions: Mapping[str, str]
    series: Mapping[tuple[str, str], Sequence[float]]
    """(UUID, `tx`, `rx`, `pcie_tx` or `pcie_rx`): bytes/s, oldest first, NaN where nothing is known."""
    step_s: float
    """Seconds that one value of a series is of."""
    changes: Sequence[Change] = ()
    """Oldest first."""
    replayed: bool = False
    """Whether it is of a recording, which need not be of the machine that `versions` is of."""

    @property
    def when(self) -> str:
        """The moment, with the offset of the node's clock from UTC."""
        moment = datetime.fromtimestamp(self.frame.tick.wall_s).astimezone()
        return moment.isoformat(sep=" ", timespec="seconds")

    def at(self, wall_s: float | None) -> str:
        """Return a time of the node's clock, with the day unless it is that of the snapshot."""
        if wall_s is None:
            return ""
        then, now = (datetime.fromtimestamp(t) for t in (wall_s, self.frame.tick.wall_s))
        return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def escape_markdown(text: str) -> str:
    """Return text that Markdown leaves as it is."""
    return _SPECIAL.sub(r"\\\1", text)


def code_block(text: str) -> str:
    """Return lines of fixed width; nothing in them can end the block."""
    return f"```text\n{text.strip(chr(10)).replace('`', chr(39))}\n```" if text.strip() else ""


def details(summary: str, text: str) -> str:
    """Return what is unfolded by a click."""
    return f"<details><summary>{escape_markdown(summary)}</summary>\n\n{text}\n\n</details>"
