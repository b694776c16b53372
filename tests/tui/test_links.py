"""The tab Links: a heat map on which faults and odd links stand out, with and without colour."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import ErrorCount, Finding, Missing, Pending, Severity, finding_key
from nvltop.tui.dialogs import link_rows
from nvltop.tui.render import header, themes
from nvltop.tui.render.glyphs import ASCII
from nvltop.tui.render.heat import HEAT_LEVELS, heat_role
from nvltop.tui.render.row import text_of
from nvltop.tui.tabs.links import heatmap
from nvltop.tui.tabs.links.odd_links import about_links, wrapped
from nvltop.tui.tabs.main import links as links_panel


def drawn(view, width: int, height: int, gpu: int = 0, link: int = 0):
    at = heatmap.layout(view, width, height, gpu, link, None)
    return heatmap.rows(view, width, height, at, gpu, link), at


def texts(view, width: int, height: int, gpu: int = 0, link: int = 0) -> list[str]:
    return [text_of(row) for row in drawn(view, width, height, gpu, link)[0]]


def cells(view, width: int, height: int, role: str) -> list[str]:
    """Return the texts with a role, without blank ones."""
    rows, _ = drawn(view, width, height)
    return [text.strip() for row in rows for text, its in row if its == role and text.strip()]


@pytest.mark.parametrize(
    "node", ["dgx-h100", "dgx1-v100", "dgx2", "rubin", "mixed", "rtx3090-nobridge", "l40s"]
)
def test_every_row_has_the_width_of_the_screen(view, node):
    v = view(node, seconds=3.0)
    for width in (1, 20, 44, 60, 80, 100, 120, 200, 274):
        for height in (1, 2, 5, 18, 34, 54, 64):
            rows = texts(v, width, height)
            assert len(rows) == height
            assert {len(row) for row in rows} == {width}
    v.glyphs = ASCII
    assert all(row.isascii() for row in texts(v, 120, 34))


def test_a_fault_and_what_is_not_connected_differ(view):
    v = view("dgx-h100", "link-down", seconds=16.0)
    assert cells(v, 120, 34, "fault") == ["DOWN", "DOWN"]
    assert cells(v, 80, 18, "fault") == ["DN", "DN"]
    sentence = texts(v, 120, 34)[-3]
    assert sentence.startswith("GPU 3 link 7 DOWN (17 of 18 up) since ")
    assert "(to NVSwitch" in sentence
    assert "GPU 3 link 7 DOWN" in texts(v, 80, 18)[-1]
    # What is on its way to a finding is a fault already, and says so.
    found = next(f for f in v.frame.findings if f.rule == "link-down")
    v.frame = replace(v.frame, findings=(), pending=(Pending(found, 1.0),))
    assert cells(v, 120, 34, "fault") == ["DOWN", "DOWN"]
    assert "(not confirmed yet)" in texts(v, 120, 34)[-3]
    without = view("rtx3090-nobridge", seconds=3.0)
    assert not cells(without, 120, 34, "fault")
    assert set(" ".join(cells(without, 120, 34, "dim")).split()) == {"dn"}
    for name, theme in themes.THEMES.items():
        fault = theme.indexed["fault"]
        assert fault.reverse if name == "monochrome" else fault.bgcolor


@pytest.mark.parametrize("rule", ["link-outlier", "link-error-rate"])
def test_a_lifetime_count_is_not_said_to_have_come_since_the_finding(view, rule):
    v = view(seconds=4.0)
    odd = Finding(
        rule, Severity.NOTICE, v.gpus[2].gpu.uuid, 4, "", {},
        headline="GPU 2 link 4: 355 replays", began_s=0.0,
    )  # fmt: skip
    v.frame = replace(v.frame, findings=(odd,))
    assert texts(v, 120, 34)[-3].startswith("GPU 2 link 4: 355 replays (to NVSwitch")


def test_an_odd_rate_is_marked_in_its_direction(view):
    v = view(seconds=4.0)
    evidence = {"direction": "rx"}
    odd = Finding(
        "link-imbalance", Severity.NOTICE, v.gpus[5].gpu.uuid, 11, "", evidence,
        headline="GPU 5 link 11 receives 50% of the usual", began_s=0.0,
    )  # fmt: skip
    v.frame = replace(v.frame, findings=(odd,))
    (cell,) = cells(v, 120, 34, "fault")
    assert cell.endswith("!")
    assert len(cells(v, 80, 18, "fault")) == 1
    assert "GPU 5 link 11 receives 50% of the usual since" in texts(v, 120, 34)[-3]
    plane = replace(odd, rule="switch-plane", gpu=None, evidence={"links": [3], "gpus": [0, 1, 2]})
    v.frame = replace(v.frame, findings=(plane,))
    assert len(cells(v, 120, 34, "fault")) == 6
    follows = replace(odd, caused_by=plane.key)
    v.frame = replace(v.frame, findings=(plane, follows))
    assert "1 more follows from that" in texts(v, 120, 34)[-3]
    other = replace(
        follows, rule="straggler", gpu=v.gpus[6].gpu.uuid, evidence={}, key=finding_key("straggler")
    )
    v.frame = replace(v.frame, findings=(plane, follows, other))
    assert "2 more follow from that" in texts(v, 120, 34)[-3], "as many as Health shows below it"
    other = replace(odd, link=None, rule="straggler")
    assert not about_links(replace(v.frame, findings=(other,)))


def test_without_an_odd_link_the_check_says_so(view):
    assert "144 of 144 links up" in texts(view(seconds=20.0), 120, 34)[-3]


def test_a_lost_gpu_has_no_cells(view):
    v = view("dgx-h100", "gpu-lost", seconds=30.0)
    lost = next(g for g in v.gpus if g.state != "ok")
    row = next(row for row in texts(v, 120, 34) if row.strip().startswith(f"{lost.gpu.index}!"))
    assert "LOST" in row
    assert texts(v, 120, 34)[-3].startswith(f"GPU {lost.gpu.index} ")
    assert "all at full speed" not in texts(v, 120, 34)[-3]


def test_what_does_not_fit_is_counted(view):
    v = view("dgx2", seconds=3.0)
    assert "1-8 of 16 GPUs" in texts(v, 80, 18)[0]
    assert "9-16 of 16 GPUs" in texts(v, 80, 18, gpu=15)[0]
    assert "of 16" not in texts(v, 120, 40)[0]
    assert "links 0-15 of 36" in texts(view("rubin", seconds=3.0), 40, 18)[0]


def test_cells_of_direct_links_show_the_other_gpu(view):
    v = view("dgx1-v100", seconds=4.0)
    rows = texts(v, 80, 18)
    assert ">1" in rows[1]
    assert "<1" in rows[2]
    assert ">" not in texts(view(seconds=3.0), 80, 18)[1]
    narrow = view("hgx-a100-4", seconds=4.0)
    assert texts(narrow, 80, 18)[3].split()[:2] == ["to", "GPU"]
    assert "GPU 0 link 0 to GPU" in texts(narrow, 80, 18)[-1]


def test_links_with_errors_are_marked(view):
    v = view("dgx-h100", "errors", seconds=24.0)
    assert [cell[-1] for cell in cells(v, 120, 34, "marked")] == ["!", "!"]
    assert len(cells(v, 80, 18, "marked")) == 2


@pytest.mark.parametrize(("kind", "is_error"), [("plr_retry_blocks", False), ("recovery", True)])
def test_a_link_that_sent_blocks_again_has_no_error(view, kind, is_error):
    """Blocks sent again rise on healthy links: they are counted, but neither marked nor red."""
    v = view("hgx-b200", seconds=6.0)
    g = v.frame.gpus[0]
    risen = ErrorCount(total=9, since_start=5, last_change_s=1.0, per_min=5.0, minutes=1)
    first, *others = g.links
    links = (replace(first, errors={kind: risen}), *others)
    gpu = replace(g, links=links, nvlink=replace(g.nvlink, errors_since_start=5 if is_error else 0))
    frame = replace(v.frame, gpus=(gpu, *v.frame.gpus[1:]))
    v = replace(v, frame=frame, gpus=frame.gpus)
    rows, _ = drawn(v, 200, 53)
    marks = [text for row in rows[:-3] for text, _ in row if text.endswith("!")]
    assert len(marks) == 2 * is_error
    on_main = [run for row in links_panel.rows(v, 160, 30, 0) for run in row]
    on_page = [run for row in link_rows._counters(v, gpu, links[0]) for run in row]
    for runs in on_main, on_page:
        roles = {role for _, its in runs for role in (its if isinstance(its, tuple) else (its,))}
        assert ("error" in roles) is is_error
    head = "".join(text for row in header.header(v, 200) for text, _ in row)
    assert ("5 recoveries since start" in head) is is_error


def test_without_a_figure_for_nccl_the_speed_is_the_scale(view):
    v = view("rubin", seconds=4.0)
    assert all(isinstance(g.nvlink.ceiling, Missing) for g in v.gpus)
    rows = texts(v, 200, 54)
    assert "colour: % of speed" in rows[-2]
    assert "?" in rows[2][8 + 36 * 4 :]


def test_the_map_grows_with_the_screen(view):
    v = view(seconds=4.0)
    sizes = [drawn(v, width, height)[1] for width, height in ((80, 18), (120, 34), (200, 54), (274, 64))]
    assert [(at.cell, at.height, at.lines) for at in sizes] == [(2, 1, 2), (4, 1, 3), (4, 2, 5), (6, 3, 7)]
    assert all(at.spark and len(at.columns) >= 3 for at in sizes)
    high, _ = drawn(v, 274, 64)
    # The cells are as high as the sparklines; their number is next to the line between TX and RX.
    assert sum(text_of(row)[4:6] in ("TX", "RX") or text_of(row)[5:7] in ("TX", "RX") for row in high) == 16
    assert sum(any(role.startswith("heat") for _, role in row) for row in high) == 8 * 6 + 1


def test_numbers_are_shares_of_the_speed(view):
    v = view("dgx-h100", "saturated", seconds=6.0)
    g = v.gpus[1]
    share = g.links[0].mean_tx_bytes_per_s / g.links[0].speed_bytes_per_s
    rows = texts(v, 120, 34)
    assert rows[4][8:12].strip() == f"{share:.0%}".rstrip("%")
    assert texts(v, 80, 18)[3][8] == str(int(share * 10))
    total = g.nvlink.mean_tx_bytes_per_s / g.nvlink.speed_bytes_per_s / g.nvlink.ceiling
    assert f" {total:.0%} " in rows[4]


@given(st.floats(0, 1.2), st.floats(0, 1.2))
def test_more_traffic_is_not_a_colder_colour(a, b):
    low, high = sorted((a, b))
    assert heat_role(low) <= heat_role(high)
    assert heat_role(HEAT_LEVELS[-1]) == "heat6"
    assert heat_role(0.0) == "heat0"


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(10, 80), st.integers(1, 4))
def test_what_is_left_out_of_the_sentence_is_counted(lengths, width, lines):
    found = wrapped([("x" * n, "error") for n in lengths], width, lines)
    assert len(found) <= lines
    shown = sum(role == "error" for line in found for _, role in line)
    left = sum(int(text.split()[1]) for line in found for text, role in line if "more" in text)
    assert shown + left == len(lengths) or (shown < len(lengths) and not left)


def test_the_page_of_a_link_states_directions_and_window_of_its_rates(view):
    v = view("dgx-h100", seconds=3.0)
    page = [text_of(row) for row in link_rows.rows(v, v.gpus[0].gpu.uuid, 0, 80, 20, 0)]
    assert any(
        re.match(r"TX, above RX: [\d.]+ .B/s, .+ % of speed · mean of the last [\d.]+ s *$", row)
        for row in page
    )
    assert any(re.match(r"RX: [\d.]+ .B/s, .+ % of speed · last \d+ s, full height", row) for row in page)
    assert not any("…" in row for row in page)


def test_a_gpu_without_a_link_that_is_up_has_no_rates_instead_of_unknown_ones(view):
    v = view("gh200", seconds=0.25)
    rows = [text_of(row) for row in heatmap.rows(v, 100, 12, heatmap.layout(v, 100, 12, 0, 0, None), 0, 0)]
    sums = [row.split()[-3:] for row in rows if " TX " in row or " RX " in row]
    assert sums
    assert all("?" not in cells and "-" in cells for cells in sums)
