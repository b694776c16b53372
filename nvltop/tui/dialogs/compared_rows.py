"""Rows of the page of one link that compare it with a baseline."""

from __future__ import annotations

from typing import Final

from nvltop.comparison.baseline import TOO_SHORT, Baseline, count_change, fact_changes
from nvltop.formatting import count, small_number
from nvltop.model import GpuFrame, Link, Missing
from nvltop.model.error_kinds import INFORMATIVE, error_kind
from nvltop.tui.render.comparison import heading, increase_text
from nvltop.tui.render.row import SEPARATOR, TextRun
from nvltop.tui.render.view_state import ViewState

KIND_WIDTH: Final = 29
COMPARED_TITLES: Final = f"{'ERRORS':{KIND_WIDTH}}{'BEFORE':>9}{'NOW':>9}{'CHANGE':>9}{'PER HOUR':>10}  NOTE"


def compared_facts(view: ViewState, baseline: Baseline, g: GpuFrame, link: Link) -> list[TextRun]:
    """Return what is compared with, and which of state, speed and remote end differ."""
    facts = fact_changes(baseline, view.frame, g, link)
    texts = [f"{f.what}: {f.before} → {f.now}" + (f" ({f.note})" if f.note else "") for f in facts]
    if (g.gpu.uuid, link.index) in baseline.links:
        line = SEPARATOR.join(texts) or "state, speed and remote end are as they were"
    elif g.gpu.uuid in baseline.gpus:
        line = "the other side does not have this link"
    else:
        line = "the other side does not have this GPU"
    return [(heading(view, baseline), "caption"), (line, "" if all(f.improved for f in facts) else "error")]


def compared_counters(view: ViewState, baseline: Baseline, g: GpuFrame, link: Link) -> list[list[TextRun]]:
    """Return a line for each counter of a link: before, now, and the increase with what limits it."""
    lines: list[list[TextRun]] = []
    for kind, error in link.errors.items():
        key = g.gpu.uuid, link.index
        change = count_change(baseline, view.frame, key, kind, error, g.uptime_s)
        increase = change.increase
        unknown = isinstance(increase, Missing)
        rose = not isinstance(increase, Missing) and increase > 0 and kind not in INFORMATIVE
        numbers = f"{count(change.before, 9)}{count(error.total, 9)}{increase_text(increase):>9}"
        per_hour = "-" if change.per_hour == TOO_SHORT else small_number(change.per_hour)
        note = f"  {increase.reason}" if isinstance(increase, Missing) else ""
        role = "error" if rose else "dim" if unknown else ""
        lines.append([(f"{error_kind(kind).plural:{KIND_WIDTH}}{numbers}{per_hour:>10}{note}", role)])
    return lines or [[("no error counter of this link could be read", "dim")]]
