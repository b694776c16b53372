"""The input of the sections of a snapshot's report, and helpers for Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import Frame

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>#|~])")
_AUTOLINK: Final = re.compile(r"@|(?<=:)//|(?<=www)\.", re.IGNORECASE)
"""Where GitHub would begin a mention or a link; an HTML comment there prevents it, a backslash would not."""


@frozen
class Snapshot:
    """A redacted frame of a node with its recent past."""

    frame: Frame
    cause: str
    """Reason of the snapshot: `F8 was pressed`, `GPU 3 link 7 is down`."""
    removed: tuple[str, ...]
    versions: Mapping[str, str]
    series: Mapping[tuple[str, str], Sequence[float]]
    """Bytes/s by UUID and `tx`, `rx`, `pcie_tx` or `pcie_rx`; oldest first, NaN where unknown."""
    step_s: float
    """Seconds between two values of a series."""
    recent: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    """The end of each series at a higher resolution."""
    recent_step_s: float = 0.0
    """Seconds between two values of `recent`."""
    nccl_report: Sequence[str] = ()
    """What NCCL's RAS service reported when the user asked it, as lines; empty if it was not asked."""
    replayed: bool = False
    """Whether the frame is from a recording, possibly from another machine than `versions`."""

    @property
    def when(self) -> str:
        """Return the time of the frame, with the offset of the node's clock from UTC."""
        moment = datetime.fromtimestamp(self.frame.tick.wall_s).astimezone()
        return moment.isoformat(sep=" ", timespec="seconds")

    def at(self, wall_s: float | None) -> str:
        """Return a time of the node's clock, with the date if it differs from that of the snapshot."""
        if wall_s is None:
            return ""
        then, now = (datetime.fromtimestamp(t) for t in (wall_s, self.frame.tick.wall_s))
        return then.strftime("%H:%M:%S" if then.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def escape_markdown(text: str) -> str:
    """Return text escaped for Markdown, without live mentions (`@name`) and links."""
    return _AUTOLINK.sub(_break_link, _SPECIAL.sub(r"\\\1", text))


def _break_link(match: re.Match[str]) -> str:
    return f"{match[0]}<!-- -->" if match[0] == "@" else f"<!-- -->{match[0]}"


def code_block(text: str) -> str:
    """Return a code block; nothing in the text can end it."""
    return f"```text\n{text.strip(chr(10)).replace('`', chr(39))}\n```" if text.strip() else ""


def details(summary: str, text: str) -> str:
    """Return a section that unfolds on a click."""
    return f"<details><summary>{escape_markdown(summary)}</summary>\n\n{text}\n\n</details>"
