"""The registry of report formats: one module with a function `render()`, and one line in `FORMATS`.

The flag and its help, which options a format allows and which flags exclude each other follow from that
line. Modules are named, not imported: the screen and `--help` need none of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from nvltop.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nvltop.model import Frame


@frozen
class RenderOptions:
    """How a report is rendered, apart from its format."""

    only: Sequence[str] | None = None
    """UUIDs of the GPUs to list; None for all."""
    first: bool = True
    """Whether this is the first report of the run."""
    several: bool = False
    """Whether the run prints more than one report."""
    estimate: bool = False
    """Whether to estimate the traffic of pairs of GPUs through NVSwitches."""
    ascii_only: bool = False
    """Whether to use only ASCII characters."""
    verbose: bool = False
    """Whether the text report contains everything."""


@frozen
class Format:
    """A format of reports."""

    name: str
    """Long flag without its dashes."""
    help: str
    module: str
    """Module with `render(frame, options)`, which returns a report without its last newline."""
    allows: tuple[str, ...] = ("for",)
    """Long flags, without dashes, that this format allows and others may not."""
    short: str = ""
    """One-letter flag, if any."""
    data: bool = True
    """Whether programs read it: it is then UTF-8 in every locale, and excludes other such formats."""

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the flag, with their dashes."""
        return (f"-{self.short}", f"--{self.name}") if self.short else (f"--{self.name}",)

    def render(self, frame: Frame, options: RenderOptions) -> str:
        """Return a frame in this format."""
        text: str = importlib.import_module(self.module).render(frame, options)
        return text


TEXT: Final = Format(
    "once",
    "print one text report and exit",
    "nvltop.report.text",
    allows=("for", "verbose"),
    short="1",
    data=False,
)
"""The format of a report if none is named."""

FORMATS: Final[list[Format]] = [
    TEXT,
    Format("json", "print JSON (schema nvltop/1) and exit", "nvltop.report.json", allows=("for", "estimate")),
    Format("csv", "print CSV with units in the titles and exit", "nvltop.report.csv", allows=()),
]
