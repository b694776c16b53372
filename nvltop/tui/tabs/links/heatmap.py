"""Rows of the tab Links: every link of every GPU as one cell, TX above RX.

The number of a cell is its share of the speed, its background the share of what NCCL reaches.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from nvltop.analysis.errors import has_risen
from nvltop.analysis.link_capacity import practical_max
from nvltop.analysis.link_states import ErrorsByLink, LazyLinks, errors_by_link
from nvltop.analysis.nan import has_nan
from nvltop.formatting import UNKNOWN, partial_count, percent
from nvltop.model import GpuFrame, Link, LinkState, Maybe, Missing, known
from nvltop.report.phrases import remote_name, tx_rx_or_reason
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.heat import HEAT_LEVELS, heat_role
from nvltop.tui.render.row import BLANK, SEPARATOR, Row, TextRun, end_with, fill, fit, fit_text, merge_runs
from nvltop.tui.render.sparklines import covered
from nvltop.tui.render.traffic import mean_window, speed_text
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.links.layout import LABEL_WIDTH, LinksLayout, choose, ends_at_gpus
from nvltop.tui.tabs.links.odd_links import DOMAIN, OddCells, odd_cells, sentence, wrapped

WIDE_CELL: Final = 4
"""Columns of a cell from which it shows `DOWN` and a mark beside a number of two digits."""
NARROW_CELL: Final = 2
"""Columns of a cell that shows only the tens of its percentage."""
NUMBERED_LINKS: Final = 5
"""Distance between the numbered links above narrow cells."""
STATE_CODES: Final = {LinkState.SLEEP: "zz", LinkState.TRAFFIC_DISABLED: "nt"}
UNCONNECTED: Final = "dn"
"""Code of a link that is down without a finding."""
MAX_SENTENCE_LINES: Final = 4
MAX_REASON_WIDTH: Final = 500
"""Columns of the reason why a GPU has no cells; a row is cut at the width of the screen."""
CODES: Final = "DOWN fault · dn not connected · zz asleep · nt no traffic allowed · ? unknown · ! errors"
NARROW_CODES: Final = "DN fault · dn not connected · ? unknown · ! errors"


def layout(
    view: ViewState, width: int, height: int, gpu: int, link: int, before: LinksLayout | None
) -> LinksLayout:
    """Return what is visible: as close to what was visible `before` as keeps the selected cell visible."""
    lines = len(wrapped(_sentence(view), width, MAX_SENTENCE_LINES))
    return choose(view, width, height, gpu, link, before, footer=2 + lines)


def rows(view: ViewState, width: int, height: int, at: LinksLayout, gpu: int, link: int) -> list[Row]:
    """Return the title row, two lines per GPU, and the odd links, the legend and the selected link."""
    odd = view.cache.parts.get(
        "odd links", (view.frame.findings, view.frame.pending), lambda: odd_cells(view.frame)
    )
    key = at, width, len(view.gpus), view.unit, view.glyphs, view.spark_shape(at.spark, 0.0)
    out = [view.cache.parts.get("links title", key, lambda: _title(view, width, at))]
    for i, g in enumerate(view.gpus[at.first_gpu : at.first_gpu + at.gpus], at.first_gpu):
        lines = _lines(view, g, at, odd, link if i == gpu else None)
        if at.spark and g.links and g.state == "ok":
            used = sum([len(text) for text, _ in lines[0]]) + 1 + at.spark
            for line, spark in zip(lines, _sparklines(view, g, at), strict=True):
                out.append(fill((*merge_runs(line), BLANK, *spark), used, width))
        else:
            out += [fit(line, width) for line in lines]
        if at.lines > len(lines):
            out.append(fit(_remote_ends(view, g, at), width))
    footer = _footer(view, width, at, gpu, link)
    del out[max(0, height - len(footer)) :]
    out += [fit([], width)] * (height - len(footer) - len(out))
    return [*out, *footer][:height]


def _sentence(view: ViewState) -> list[TextRun]:
    """Return the texts about odd links."""
    frame = view.frame
    key = frame.findings, frame.pending, frame.checks, frame.inventory, view.glyphs
    return view.cache.parts.get("odd link texts", key, lambda: sentence(view))


def _title(view: ViewState, width: int, at: LinksLayout) -> Row:
    """Return the numbers of the links, the titles of the columns, and the range of visible GPUs."""
    shown = range(at.first_link, at.first_link + at.links)
    head = ("GPU 10%" if at.cell == NARROW_CELL else "GPU    %").ljust(LABEL_WIDTH)
    if at.cell == NARROW_CELL:
        head += "".join((str(k) if k % NUMBERED_LINKS == 0 else view.glyphs.dot).ljust(2) for k in shown)
    else:
        numbers = WIDE_CELL if at.remote else at.cell
        head += "".join((str(k).rjust(numbers - 1) + " ").ljust(at.cell) for k in shown)
    for column in at.columns:
        name = f"{column.title} {view.unit.name}" if column.key == "sum" else column.title
        head += " " + name[: column.width].rjust(column.width)
    if at.spark:
        lasts = covered(view.spark_shape(at.spark, 0.0).seconds())
        texts = f"TX UP, RX DOWN, LAST {lasts}", f"LAST {lasts}", lasts
        head += f" {next((text for text in texts if len(text) <= at.spark), lasts)}"
    cut = []
    if (most := max((len(g.links) for g in view.gpus), default=0)) > at.links:
        cut.append(f"links {at.first_link}-{at.first_link + at.links - 1} of {most}")
    if len(view.gpus) > at.gpus:
        cut.append(f"{at.first_gpu + 1}-{at.first_gpu + at.gpus} of {len(view.gpus)} GPUs")
    if cut:
        head = end_with(head.ljust(width)[:width], " " + ", ".join(cut), width)
    return fit([(head, "title")], width, "title")


def _lines(
    view: ViewState, g: GpuFrame, at: LinksLayout, odd: OddCells, chosen: int | None
) -> list[list[TextRun]]:
    """Return label, cells and columns of a GPU: the lines of TX, then of RX; the text is between them."""
    mark, role = view.finding_mark(g.gpu.uuid)
    blank: TextRun = (" " * LABEL_WIDTH, "")
    lines: list[list[TextRun]] = []
    for direction in ("tx", "rx"):
        label = f"{g.gpu.index}{mark}".rjust(4) if direction == "tx" else " " * 4
        text: list[TextRun] = [(label, role or "bold"), (f" {direction.upper()} ", direction)]
        cells, columns = _cells_and_columns(view, g, direction, at, odd)
        if chosen is not None and 0 <= (place := chosen - at.first_link) < len(cells):
            cells = [*cells]
            cells[place] = cells[place][0], "selected"
        high = [(" " * len(text), role) for text, role in cells]
        high.append((" " * sum(len(text) for text, _ in columns), ""))
        others = [[blank, *high] for _ in range(at.height - 1)]
        text += [*cells, *columns]
        lines += [*others, text] if direction == "tx" else [text, *others]
    return lines


def _remote_ends(view: ViewState, g: GpuFrame, at: LinksLayout) -> list[TextRun]:
    """Return the GPU at the other end of each link, below cells without room for it; else nothing."""
    if at.remote or at.cell < len("00 ") or g.state != "ok" or not ends_at_gpus(view.gpus):
        return []
    index_of = {other.gpu.uuid: str(other.gpu.index) for other in view.frame.gpus}
    links = g.links[at.first_link : at.first_link + at.links]
    ends = [index_of.get(link.remote.gpu or "", "").rjust(at.cell - 1).ljust(at.cell) for link in links]
    return [("to GPU".rjust(LABEL_WIDTH - 1) + " " + "".join(ends), "dim")] if links else []


def _cells_and_columns(
    view: ViewState, g: GpuFrame, direction: str, at: LinksLayout, odd: OddCells
) -> tuple[list[TextRun], list[TextRun]]:
    """Return the cells and the columns of one direction, or the reason why there are none."""
    if g.state != "ok" or not g.links:
        text, role = _no_cells(g)
        return [], [(fit_text(text, MAX_REASON_WIDTH, view.glyphs) if direction == "tx" else "", role)]
    key = (_state_key(g), at.first_link, at.links, at.cell, at.remote, at.columns, odd, view.unit, g.stale)
    return view.cache.parts.get(
        ("links", g.gpu.uuid, direction),
        (*key, view.finding_marks),
        lambda: (_cells(view, g, direction, at, odd), merge_runs(_columns(view, g, direction, at))),
    )


def _no_cells(g: GpuFrame) -> TextRun:
    """Return why a GPU has no cells."""
    if g.state != "ok":
        text = g.state.upper()
        return text if g.state in g.state_reason else f"{text}: {g.state_reason}", "error"
    present = g.nvlink.links_present
    return (f"links unknown: {present.reason}" if isinstance(present, Missing) else "no NVLink"), "dim"


def _state_key(g: GpuFrame) -> tuple[object, ...]:
    """Return what the cells of a GPU depend on."""
    links, nvlink = g.links, g.nvlink
    if not isinstance(links, LazyLinks):
        return (links,)
    averaged = len(links.means) == len(links.rates) and not has_nan(links.means)
    # Where there is no mean, the newest rates are shown, or the reasons why there are none.
    newest = None if averaged else g.span_s
    errors = nvlink.errors_total, nvlink.errors_since_start, nvlink.errors_unread_part
    return links.summary, g.mean_span_s, newest, errors


def _cells(view: ViewState, g: GpuFrame, direction: str, at: LinksLayout, odd: OddCells) -> list[TextRun]:
    """Return the visible cells of one direction of a GPU, and blank ones for links that it does not have."""
    index_of = {other.gpu.uuid: other.gpu.index for other in view.frame.gpus} if at.remote else {}
    shown = range(at.first_link, at.first_link + at.links)
    errors = errors_by_link(g.links)
    risen = view.cache.parts.get(("risen", g.gpu.uuid), (errors,), lambda: _risen(errors))
    cells = []
    for k in shown:
        if k >= len(g.links):
            cells.append((" " * at.cell, ""))
            continue
        link = g.links[k]
        text, role = _cell(view, g, link, direction, WIDE_CELL if at.remote else at.cell, odd, risen)
        if at.remote:
            there = index_of.get(link.remote.gpu or "")
            end = "" if there is None else f"{'>' if direction == 'tx' else '<'}{there}"
            number, sign = (text[:-1], text[-1]) if text[-1] in " !?" else (text, "")
            text = f"{number}{end}{sign}".ljust(at.cell)
        cells.append((text, role))
    return cells


def _cell(
    view: ViewState,
    g: GpuFrame,
    link: Link,
    direction: str,
    width: int,
    odd: OddCells,
    risen: Collection[int],
) -> TextRun:
    """Return a cell of a link in `width` columns."""
    is_odd = (g.gpu.uuid, link.index, direction) in odd
    mark, severity = _mark(view, g.gpu.uuid, link, risen)
    if link.state is LinkState.DOWN:
        if not is_odd:
            # Not connected, by design.
            return _state(UNCONNECTED, width), "dim"
        return ("DOWN".rjust(width - 1) if width >= WIDE_CELL else "DN").ljust(width), "fault"
    if link.state in STATE_CODES:
        role = "dim" if link.state is LinkState.SLEEP else "warn"
        return _state(STATE_CODES[link.state], width), role
    share = _share(link, direction)
    if isinstance(share, Missing):
        return f"{UNKNOWN.rjust(width - 1)}{mark}", "warn"
    sign = "!" if is_odd else mark
    number = str(min(9, int(share * 10))) if width == NARROW_CELL else percent(share, 0)
    text = f"{number.rjust(width - 1)}{sign}" if len(number) < width else number
    if is_odd or severity == "error":
        return text, "fault"
    if severity:
        return text, "marked"
    return text, "dim" if g.stale else _heat(g, share)


def _state(code: str, width: int) -> str:
    """Return the code of a state in the place of a number."""
    return code.rjust(width - (width > NARROW_CELL)).ljust(width)


def _heat(g: GpuFrame, share: float) -> str:
    """Return the role of a cell by its share of what NCCL reaches."""
    ceiling = g.nvlink.ceiling
    return heat_role(share / ceiling if known(ceiling) and ceiling else share)


def _share(link: Link, direction: str) -> Maybe[float]:
    moved = link.mean_tx_bytes_per_s if direction == "tx" else link.mean_rx_bytes_per_s
    speed = link.speed_bytes_per_s
    if isinstance(moved, Missing):
        return moved
    if isinstance(speed, Missing):
        return speed
    return moved / speed if speed else Missing("link has no speed")


def _mark(view: ViewState, uuid: str, link: Link, risen: Collection[int]) -> TextRun:
    """Return the mark of a link with a finding, or with new errors, and the role of the finding."""
    mark, role = view.finding_mark(uuid, link.index)
    return mark or ("!" if link.index in risen else " "), role


def _risen(errors: ErrorsByLink) -> frozenset[int]:
    """Return the links that have counted errors since the start."""
    return frozenset(
        link for link, counts in errors.items() for kind, error in counts.items() if has_risen(kind, error)
    )


def _columns(view: ViewState, g: GpuFrame, direction: str, at: LinksLayout) -> list[TextRun]:
    """Return sum, share of the ceiling, errors and range of one direction of a GPU."""
    moved = g.nvlink.mean_tx_bytes_per_s if direction == "tx" else g.nvlink.mean_rx_bytes_per_s
    speed, ceiling = g.nvlink.speed_bytes_per_s, g.nvlink.ceiling
    full = speed * ceiling if known(speed) and known(ceiling) else 0.0
    shares = [s for k in g.links if k.state is not LinkState.DOWN and known(s := _share(k, direction))]
    old = "dim" if g.stale else ""
    runs: list[TextRun] = []
    for column in at.columns:
        role = old
        if g.nvlink.links_up == 0 and column.key in ("sum", "share", "range"):
            text = "-"  # as on Main: without a link that is up there is no rate
        elif column.key == "sum":
            text = view.unit.number(moved)
        elif column.key == "share":
            text = percent(moved / full, 0) + "%" if known(moved) and full else UNKNOWN
        elif column.key == "range":
            text = (
                f"{percent(min(shares), 0).strip()}..{percent(max(shares), 0).strip()}" if shares else UNKNOWN
            )
        else:
            rose = known(n := g.nvlink.errors_since_start) and n > 0
            text = partial_count(g.nvlink.errors_total, g.nvlink.errors_unread_part is not None)
            text, role = ("", "") if direction == "rx" else (text, "error" if rose else old)
        runs += [(" ", ""), (column.pad(text), role)]
    return runs


def _sparklines(view: ViewState, g: GpuFrame, at: LinksLayout) -> list[Row]:
    """Return the newest traffic of a GPU: TX above and RX below the line between them."""
    uuid, full = g.gpu.uuid, practical_max(g.nvlink.speed_bytes_per_s, g.nvlink.ceiling)
    return view.mirrored(((uuid, None, "tx"),), ((uuid, None, "rx"),), at.spark, full, at.height)


def _footer(view: ViewState, width: int, at: LinksLayout, gpu: int, link: int) -> list[Row]:
    """Return the odd links, the legend and the selected link, as far as there are lines for them."""
    selected = caption(view, gpu, link)
    texts = [(fit_text(text, width, view.glyphs), role) for text, role in _sentence(view)]
    if at.footer == 1:
        text = SEPARATOR.join((*(t for t, _ in texts[:1]), *filter(None, (selected,))))
        return [fit([(fit_text(text, width, view.glyphs), texts[0][1] if texts else "caption")], width)]
    lines = wrapped(texts, width, max(1, at.footer - 2))
    out = [fit([(text, role) for text, role in line], width) for line in lines]
    if at.footer > len(out) + 1:
        out.append(fit(_legend(view, width, at), width))
    return [*out, fit([(fit_text(selected, width, view.glyphs), "caption")], width)]


def _legend(view: ViewState, width: int, at: LinksLayout) -> list[TextRun]:
    """Return what numbers, colours and codes mean."""
    number = "tens of % of speed" if at.cell == NARROW_CELL else "% of speed"
    window = mean_window(view.gpus, True)
    first = f"{number}, {window}{SEPARATOR}" if window and width >= 120 else f"{number}{SEPARATOR}"
    limit = "NCCL max" if any(known(g.nvlink.ceiling) for g in view.gpus) else "speed"
    scale: list[TextRun] = [(f"colour: % of {limit} ", "caption"), ("0", "heat0")]
    for i, low in enumerate(HEAT_LEVELS, 1):
        scale.append((f" {low * 100:.0f}{'+' if i == len(HEAT_LEVELS) else ' '}", f"heat{i}"))
    used = len(first) + sum(len(text) for text, _ in scale)
    codes = SEPARATOR + (NARROW_CODES if at.cell < WIDE_CELL else CODES)
    rest = fit_text(codes, max(0, width - used), view.glyphs)
    runs = [(first, "caption"), *scale, (rest if rest.strip(" .~…") else "", "caption")]
    return runs if view.glyphs is UNICODE else [(t.replace("·", view.glyphs.dot), r) for t, r in runs]


def caption(view: ViewState, gpu: int, link: int) -> str:
    """Return the description of the selected link; empty if there is no such link."""
    if gpu >= len(view.gpus) or link >= len(view.gpus[gpu].links):
        return ""
    g = view.gpus[gpu]
    k = g.links[link]
    index_of = {other.gpu.uuid: other.gpu.index for other in view.frame.gpus}
    state = k.state.value + (f" ({k.state_reason})" if k.state_reason else "")
    there = remote_name(k, index_of).replace(DOMAIN, "")
    parts = [f"GPU {g.gpu.index} link {k.index} to {there}: {state}"]
    if k.state is not LinkState.DOWN:
        tx, rx = k.mean_tx_bytes_per_s, k.mean_rx_bytes_per_s
        parts.append(tx_rx_or_reason(tx, rx, view.unit.text))
        parts.append(speed_text(k.speed_bytes_per_s, view.unit))
    return SEPARATOR.join(parts)
