"""The line about connections, and the lines about jobs and findings."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Finding, Job, Matrix, Severity
from nvltop.tui.dialogs import gpu_rows
from nvltop.tui.render.glyphs import ASCII, UNICODE
from nvltop.tui.render.row import SECOND_TIME, section, text_of, with_range
from nvltop.tui.render.view_state import SPARK_ROLES
from nvltop.tui.tabs.main import chart, gpus, links, matrix, nics, notes, topology

CLOCK = re.compile(r"\d\d:\d\d:\d\d")


def texts(rows):
    return [text_of(row).rstrip() for row in rows]


@pytest.mark.parametrize(
    ("node", "text"),
    [
        ("dgx-h100", "all 8 GPUs joined through 4 NVSwitches, NV18 each"),
        ("dgx2", "all 16 GPUs joined through 6 NVSwitches, NV6 each"),
        ("hgx-a100-4", "all 4 GPUs joined directly, NV4 a pair"),
        ("rtx3090-pair", "2 GPUs joined directly by 4 links (NV4)"),
        ("rtx4090-pair", "no NVLink between the 2 GPUs; they are PHB apart on PCIe"),
        ("dgx1-v100", None),
        ("mixed", None),
        ("gh200", "18 NVLink ports, none connected: normal without a bridge or switch"),
    ],
)
def test_one_line_says_how_the_gpus_are_connected_if_they_are_alike(view, node, text):
    found = topology.summarize(view(node, seconds=2.0).frame)
    assert (found and found.text) == text


def with_cells(v, **cells: str):
    """Return the view with other cells: `_2_3="NV17"` is the pair of GPUs 2 and 3, in both directions."""
    m = v.frame.matrix
    changed = [list(row) for row in m.cells]
    for name, cell in cells.items():
        i, j = (int(number) for number in name.split("_")[1:])
        changed[i][j] = changed[j][i] = cell
    v.frame = replace(v.frame, matrix=replace(m, cells=tuple(map(tuple, changed))))
    return v


def test_an_odd_gpu_is_named_and_marked_without_colour(view):
    v = with_cells(view(seconds=2.0), **{f"_{min(3, j)}_{max(3, j)}": "NV17" for j in range(8) if j != 3})
    assert topology.summarize(v.frame).odd == "GPU 3 only NV17"
    rows = matrix.rows(v, 130, 10)
    assert texts(rows)[4].count("*NV17") == 7
    assert [role for text, role in rows[4] if "*NV17" in text] == ["warn", "warn"]
    assert texts(rows)[1].count("*NV17") == 1
    assert texts(topology.rows(v, 120))[0].startswith(
        "topology 8 GPUs joined through 4 NVSwitches, NV18, GPU 3 only"
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_line_about_connections_is_never_cut(view, width):
    v = with_cells(view(seconds=2.0), **{f"_{min(3, j)}_{max(3, j)}": "NV17" for j in range(8) if j != 3})
    row = texts(topology.rows(v, width))[0]
    assert "NV18, GPU 3 only NV17" in row
    assert len(row) <= width


def test_the_title_of_the_links_says_which_are_shown(view):
    v = view(seconds=2.0)
    assert texts(links.rows(v, 80, 6, 3))[0].endswith(" 4-7 of 18")
    assert " of 18" not in texts(links.rows(v, 80, 20, 0))[0]


def test_a_selected_link_keeps_the_colours_of_its_sparkline(view):
    row = links.rows(view(seconds=6.0, links_focused=True, link=1), 120, 20, 0)[2]
    assert row[0][1] == "selected"
    assert {role for _, role in section(row, 0, 120)} & set(SPARK_ROLES["tx"])


def test_one_odd_pair_needs_the_matrix(view):
    v = with_cells(view(seconds=2.0), _2_5="NV17")
    assert topology.summarize(v.frame) is None


def test_refused_peer_access_stands_in_the_line(view):
    v = view("dgx-h100", "p2p-dead", 2.0)
    assert "P2P" in topology.summarize(v.frame).refused
    assert any(role == "error" for _, role in topology.rows(v, 120)[0])
    empty = replace(v.frame, matrix=Matrix())
    assert topology.summarize(empty) is None


def finding(severity: str, headline: str, step: str) -> Finding:
    return Finding("rule", Severity(severity), None, None, "A sentence", headline=headline, next_step=step)


def test_jobs_and_findings_come_with_the_next_step_and_say_what_is_cut(view):
    v = view(seconds=4.0)
    long = "Look for Xid 74, drain the GPU and reset it; " * 4
    v.frame = replace(
        v.frame,
        findings=(finding("critical", "GPU 3 DOWN", long), finding("warning", "GPU 2 hot", "Check fans")),
    )
    needed = notes.count(v, 80)
    full = texts(notes.rows(v, 80, needed + 1))
    assert len(full) == needed + 1
    assert full[0].endswith("1 CRITICAL, 1 WARNING")
    assert "! GPU 3 DOWN" in full
    assert "! GPU 2 hot  next Check fans" in full
    assert " ".join(" ".join(full).split()).count("drain the GPU") == 4, "the step is there in full"
    for height in range(1, needed):
        rows = texts(notes.rows(v, 80, height))
        assert len(rows) == height
        assert "more: see Health" in rows[-1] or "…" in "".join(rows)


def test_the_odd_gpu_of_a_hang_is_marked(view):
    v = view("dgx-h100", seconds=2.0)
    odd = replace(finding("warning", "HANG? GPU 3 idle, 7 GPUs spin", "Run py-spy"), gpu=v.gpus[3].gpu.uuid)
    v.frame = replace(v.frame, findings=(odd,))
    marked = [row[:3] for row in texts(gpus.table(v, 80, 9, 0))]
    assert marked[4] == " 3!"
    assert sum("!" in mark for mark in marked) == 1


def test_a_lost_gpu_says_so_where_the_name_is_not_shown(view):
    v = view("dgx-h100", seconds=2.0)
    lost = replace(v.gpus[3], state="lost", state_reason="GPU is lost")
    v.gpus = (*v.gpus[:3], lost, *v.gpus[4:])
    assert "LOST: GPU is lost" in texts(gpus.table(v, 80, 9, 0))[4]


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120, 200, 274])
def test_each_gpu_has_a_sparkline_at_each_width(view, width):
    v = view(seconds=4.0)
    rows = gpus.table(v, width, 9, 0)
    if width >= 32:
        for row in rows[1:]:
            assert any(role in SPARK_ROLES["tx"] and text.strip() for text, role in section(row, 0, width))


def test_a_filter_that_matches_no_gpu_says_so_and_keeps_the_columns(view):
    v = view(seconds=2.0, filter_text="IB")
    before = texts(gpus.table(v, 120, 9, 0))[0]
    v.gpus = ()
    after = texts(gpus.table(v, 120, 9, 0))
    assert after[1].startswith("no GPU matches the filter")
    assert after[0].split() == before.split() or "%SPD" in after[0]


def test_idle_virtual_functions_fold_into_one_line(view):
    v = view(seconds=3.0)
    idle = [
        replace(
            f,
            nic=replace(f.nic, device=f"vf{i}", virtual=True),
            tx_bytes_per_s=0.0,
            rx_bytes_per_s=0.0,
            errors={},
        )
        for i, f in enumerate(v.frame.nics[:5])
    ]
    busy = replace(idle[0], nic=replace(idle[0].nic, device="vf9"), tx_bytes_per_s=1e9)
    v.frame = replace(v.frame, nics=(*v.frame.nics, *idle, busy))
    shown, folded = nics.fold(v.frame.nics)
    assert (len(shown), folded) == (13, 5)
    assert nics.table_lines(v.frame.nics) == 14
    rows = texts(nics.table(v, 120, 15))
    assert rows[-1].split() == ["+", "5", "idle", "virtual", "functions"]
    assert "vf9" in rows[-2]
    assert texts(nics.table(v, 120, 6))[0].endswith("/13"), "the title counts what can be reached"


@pytest.mark.parametrize("glyphs", ["unicode", "ascii"])
def test_the_chart_is_mirrored_and_never_wider_than_its_panel(view, glyphs):
    v = view("dgx-h100", "saturated", 12.0, **({"glyphs": ASCII} if glyphs == "ascii" else {}))
    for width, height in ((30, 5), (80, 6), (200, 19), (340, 12)):
        rows = chart.rows(v, width, height)
        assert len(rows) == height
        assert {len(text_of(row)) for row in rows} == {width}
        times = any(CLOCK.search(text_of(row)) for row in rows)
        assert times == (height % 2 == 0 or height >= 11), "times where a line is left, or many are"
        assert times != (" s, " in text_of(rows[0])), "otherwise their length in the title"
        up = (height - 2 if times else height - 1) // 2
        for first, way in ((1, "tx"), (1 + up, "rx")):
            shown = [run for row in rows[first : first + up] for run in section(row, 0, width)]
            roles = {role for text, role in shown if text.strip()}
            assert roles <= set(SPARK_ROLES[way])
            assert roles
        if glyphs == "ascii":
            assert all(text_of(row).isascii() for row in rows[1:])


def test_the_title_of_the_chart_counts_the_gpus_in_its_sum(view):
    title, *_ = texts(chart.rows(view("dgx-h100", "training", 12.0), 120, 8))
    assert title.startswith("NODE NVLINK TRAFFIC, ")
    v = view("dgx-h100", "gpu-lost", 20.0)
    title, *_ = texts(chart.rows(v, 120, 8))
    assert title.startswith("NODE NVLINK TRAFFIC of 7 of 8 GPUs, ")
    lost = next(g for g in v.frame.gpus if g.state != "ok")
    page = "\n".join(texts(gpu_rows.rows(v, lost.gpu.uuid, 160, 30, 0)))
    assert "errors since the start ? (GPU is lost)" in page


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_times_of_the_chart_are_those_of_its_columns(view, width):
    v = view("dgx-h100", "saturated", 12.0)
    *lines, times = texts(chart.rows(v, width, 6))
    (first, *_), at = CLOCK.findall(times), [m.start() for m in CLOCK.finditer(times)]
    shape = v.spark_shape(width, 1.0)
    cell_s = 2 * shape.half_s
    clocks = [datetime.strptime(text, "%H:%M:%S") for text in CLOCK.findall(times)]
    assert [(c - clocks[0]).total_seconds() for c in clocks] == pytest.approx(
        [x * cell_s for x in at], abs=1.0
    )
    end = max(len(line.rstrip()) for line in lines[1:])
    now = datetime.fromtimestamp(v.frame.tick.wall_s)
    newest = (now.hour * 60 + now.minute) * 60 + now.second + now.microsecond / 1e6
    began = sum(int(part) * factor for part, factor in zip(first.split(":"), (3600, 60, 1), strict=True))
    assert (newest - began) % 86400 == pytest.approx(end * cell_s, abs=1.0 + 2 * cell_s)


def test_a_gpu_of_a_job_that_no_nvlink_joins_is_named(view):
    def line(pairs):
        job = Job("1", "torchrun 1", "torchrun", "ada", (1,), ("a", "b", "c"), (True,), 0.0, 0.0, True, pairs)
        v = view()
        gpus = tuple(
            replace(g, gpu=replace(g.gpu, uuid=u)) for g, u in zip(v.frame.gpus, "abc", strict=False)
        )
        v.frame = replace(v.frame, jobs=(job,), gpus=gpus, findings=(), judgements=(), activity=())
        return texts(notes.rows(v, 120, 6))[1].rstrip()

    assert line((("a", "c"), ("b", "c"))).startswith("job torchrun 1 · ada · GPU 0-2 · PCIe only: GPU 2")
    assert "PCIe only" not in line((("a", "c"),)), "each GPU has an NVLink to another one"


def test_the_title_of_the_links_follows_the_interval_although_nothing_else_changes(view):
    state = view("dgx-h100")
    state.history = RateHistory()
    titles = []
    for interval_s in (0.25, 1.0):
        state.frame = replace(state.frame, tick=replace(state.frame.tick, interval_s=interval_s))
        title, *_ = links.rows(state, 100, 10, 0)
        titles.append(text_of(title))
    seconds = [float(re.findall(r"TX, ([\d.]+) s", title)[0]) for title in titles]
    assert seconds[1] == 4 * seconds[0]


@given(st.integers(20, 200), st.integers(0, 40), st.integers(1, 40), st.integers(1, 60))
@example(36, 0, 1, 1)
def test_a_range_of_rows_takes_the_place_of_no_heading(width, first, shown, more):
    title = "LNK STATE   TX GB/s RX GB/s  REPL   ERR TX, 6 s  RX, 6 s "[:width]
    text = with_range([title], (first, first + shown, shown + more), width, UNICODE)
    assert text.startswith(SECOND_TIME.sub(r"\1", title).rstrip())
    assert len(text) <= width
    longest = f" {first + 1}-{first + shown} of {shown + more}"
    assert text.endswith(longest) or len(title.rstrip()) + len(longest) > width


@pytest.mark.parametrize("node", ["dgx-h100", "dgx-a100"])
def test_each_column_of_a_table_that_does_not_fit_has_its_heading(view, node):
    v = view(node)
    for width in range(40, 160):
        head, whole = (texts(nics.table(v, width, height, 0))[0] for height in (4, 40))
        assert head.startswith(SECOND_TIME.sub(r"\1", whole.partition("  means")[0]).rstrip())
        head = texts(links.rows(v, width, 8, 0))[0]
        whole = texts(links.rows(v, width, 40, 0))[0]
        assert head.startswith(SECOND_TIME.sub(r"\1", whole).rstrip())
