"""Layout of the tab Main: which panels are shown, where, and how large."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from nvltop.frozen import frozen

MIN_COLUMNS_FOR_TWO: Final = 100
"""Columns from which panels are shown side by side."""
MIN_LINKS_COLUMNS: Final = 54
"""Columns that the links need beside another panel."""
MIN_NICS_COLUMNS: Final = 44
"""Columns that the NICs need beside the links."""
MIN_PANE_LINES: Final = 3
"""Lines below which a panel is left out that needs more: its title and two rows."""
MIN_CHART_LINES: Final = 5
CHOSEN_LINES: Final = 9
"""Lines that a panel gets at least on a screen of 24 lines if the user chose it."""
NOTES_SHARE: Final = 0.5
"""Share of the lines below the GPUs that jobs and findings get at most."""
MIN_NOTES: Final = 3
"""Lines of jobs and findings that come before a larger chart: a job, a finding and its next step."""
PANES: Final = ("matrix", "chart", "links", "nics")
"""The panels that share the lines below the GPUs, in the order in which F5 shows them."""


@frozen
class Content:
    """The size of what there is to show."""

    gpus: int
    """Number of listed GPUs."""
    links: int = 0
    """Number of links of the GPU with the most links."""
    unconnected: bool = False
    """Whether no link of the node is up, so that the links are shown only if the user wants to see them."""
    nics: int = 0
    """Number of rows of the NIC table."""
    matrix: int = 0
    """Number of rows of the matrix; 0 if there is only one GPU."""
    matrix_columns: int = 0
    """Columns of the complete matrix."""
    summary: bool = False
    """Whether one line can replace the matrix."""
    uniform: bool = False
    """Whether all pairs of GPUs are connected alike, so that the matrix adds nothing to that line."""
    notes: int = 0
    """Number of lines about jobs and findings."""


class Panel(NamedTuple):
    """A rectangle of the tab."""

    name: str
    """`gpus`, `topology`, `notes`, or one of `PANES`."""
    x: int
    y: int
    width: int
    height: int


@frozen
class MainLayout:
    """The panels that are shown."""

    panels: tuple[Panel, ...]
    hidden: tuple[str, ...]
    """Panes that have something to show, but no room."""

    def panel(self, name: str) -> Panel | None:
        """Return a panel by name; None if it is not shown."""
        return next((panel for panel in self.panels if panel.name == name), None)


@lru_cache(maxsize=16)  # it is the same from frame to frame
def layout(width: int, height: int, has: Content, chosen: str = "") -> MainLayout:
    """Return the layout; `chosen` is the pane that the user wants to see, empty if it does not matter.

    The GPUs get the lines that they need. Then follow one line about their connections, jobs and findings,
    and the panes. What is left goes to the chart.
    """
    sizes = {"matrix": has.matrix, "chart": MIN_CHART_LINES, "links": has.links, "nics": has.nics}
    chosen = chosen if sizes.get(chosen) else ""
    gpus = min(has.gpus + 1, height)
    if chosen:
        gpus = max(1, min(gpus, height - min(CHOSEN_LINES, height // 2)))
    stack = [("gpus", gpus)]
    left = height - gpus
    matrix = _shows_matrix(width, left, has, chosen)
    if has.summary and not matrix and left:
        stack.append(("topology", 1))
        left -= 1
    most = min(max(MIN_NOTES, int(left * NOTES_SHARE)), left - MIN_CHART_LINES)
    notes = max(0, min(has.notes + 1, most)) if has.notes else 0
    if matrix and width < MIN_COLUMNS_FOR_TWO and left - notes <= has.matrix:
        notes = max(0, left - has.matrix - 1)
    if notes:
        stack.append(("notes", notes))
        left -= notes
    lines = {
        "matrix": has.matrix + 1 if matrix else 0,
        "links": has.links + 2 if has.links and (chosen == "links" or not has.unconnected) else 0,
        "nics": has.nics + 1 if has.nics else 0,
    }
    y = height - left
    arrange = _side_by_side if width >= MIN_COLUMNS_FOR_TWO else _stacked
    below = arrange(width, y, left, lines, has.matrix_columns, chosen)
    if not below and left:
        # Too few lines for a pane.
        stack[-1] = stack[-1][0], stack[-1][1] + left
    y, panels = 0, []
    for name, size in stack:
        panels.append(Panel(name, 0, y, width, size))
        y += size
    shown = {panel.name for panel in below}
    hidden = tuple(name for name in PANES if sizes[name] and name not in shown)
    return MainLayout((*panels, *below), hidden)


def _shows_matrix(width: int, lines: int, has: Content, chosen: str) -> bool:
    """Return whether the matrix is shown rather than the line that sums it up."""
    if not has.matrix or chosen == "matrix" or has.uniform:
        return bool(has.matrix) and chosen == "matrix"
    if not has.summary:
        return chosen in ("", "matrix") or width >= MIN_COLUMNS_FOR_TWO
    return width >= MIN_COLUMNS_FOR_TWO and lines >= 2 * (has.matrix + 1)


def _stacked(
    width: int, y: int, left: int, sizes: dict[str, int], matrix_columns: int, chosen: str
) -> list[Panel]:
    """Return the panes one below the other; the chart takes what is left."""
    order = [name for name in ("matrix", "links", "nics") if sizes[name]]
    if chosen in order:
        order.remove(chosen)
        order.insert(0, chosen)
    lines: dict[str, int] = {}
    if chosen == "chart" and left >= MIN_CHART_LINES:
        lines["chart"] = left if left < MIN_CHART_LINES + MIN_PANE_LINES else MIN_CHART_LINES
        left -= lines["chart"]
    for name in order:
        must = name == chosen or name == "matrix" or (not lines and left < MIN_CHART_LINES)
        fits = sizes[name] <= left - (0 if "chart" in lines else MIN_CHART_LINES)
        if fits or (must and left >= MIN_PANE_LINES):
            lines[name] = min(sizes[name], left)
            left -= lines[name]
    if left >= MIN_CHART_LINES or "chart" in lines:
        lines["chart"] = lines.get("chart", 0) + left
        left = 0
    names = sorted(lines, key=lambda name: (name == "chart", name != chosen))
    panels = []
    for name in names:
        # What is left is too low for another pane.
        extra = left if name == names[-1] else 0
        panels.append(Panel(name, 0, y, width, lines[name] + extra))
        y += lines[name]
    return panels


def _side_by_side(
    width: int, y: int, left: int, sizes: dict[str, int], matrix_columns: int, chosen: str
) -> list[Panel]:
    """Return matrix and NICs beside the links, and the chart below them."""
    if left < MIN_PANE_LINES:
        return []
    matrix, nics, links = sizes["matrix"], sizes["nics"], sizes["links"]
    chart = MIN_CHART_LINES if chosen == "chart" and left >= MIN_CHART_LINES + MIN_PANE_LINES else 0
    whole = max(matrix + nics, links)
    pane = min(whole, left - chart)
    if pane < min(whole, MIN_PANE_LINES) or (chosen == "chart" and not chart and left >= MIN_CHART_LINES):
        pane = 0
    if left - pane < MIN_CHART_LINES:
        # Too few lines for a chart.
        pane = left if pane else 0
    if not pane:
        return [Panel("chart", 0, y, width, left)]
    matrix = min(matrix, pane)
    if chosen == "nics" and pane - matrix < min(nics, pane):
        matrix = 0
    if pane - matrix < min(nics, MIN_PANE_LINES) or not nics:
        nics, matrix = 0, pane if matrix else 0
    else:
        nics = pane - matrix
    first = _first_width(width, matrix_columns if matrix else 0, nics, links)
    panels = []
    if matrix:
        panels.append(Panel("matrix", 0, y, first, matrix))
    if nics:
        panels.append(Panel("nics", 0, y + matrix, first, nics))
    if first < width:
        panels.append(Panel("links", first, y, width - first, pane))
    if left > pane:
        panels.append(Panel("chart", 0, y + pane, width, left - pane))
    return panels


def _first_width(width: int, matrix_columns: int, nics: int, links: int) -> int:
    """Return the columns of matrix and NICs; the links get the rest."""
    if not links:
        return width
    if not matrix_columns and not nics:
        return 0
    most = width - MIN_LINKS_COLUMNS
    wanted = max(matrix_columns + 1 if matrix_columns else 0, width // 2 if nics else 0)
    return min(most, wanted)
