"""What a person reads, row by row."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.model import MAX_HEADLINE, Cost, ErrorCount, Finding, LinkState, Missing, Severity, Verdict
from nvltop.nvml.simulated.nodes import BUILDERS
from nvltop.tui.dialogs import pair_rows
from nvltop.tui.keys import FunctionKey
from nvltop.tui.render import header
from nvltop.tui.render.function_bar import function_bar
from nvltop.tui.render.glyphs import ASCII, UNICODE
from nvltop.tui.render.meters import BarMeter, bar, meters
from nvltop.tui.render.row import fit, fit_text, shorten, text_of
from nvltop.tui.render.tab_row import tab_row
from nvltop.tui.render.view_state import EMPTY_FRAME, ViewState
from nvltop.tui.tabs.main import gpus, links, matrix, nics
from nvltop.tui.tabs.main.status import status

NODES = [name for name, build in BUILDERS.items() if build().gpus]


def texts(rows) -> list[str]:
    return [text_of(row) for row in rows]


@given(st.lists(st.tuples(st.text(max_size=9), st.sampled_from(["", "tx"]))), st.integers(0, 40))
def test_every_row_has_exactly_its_width(spans, width):
    assert sum(len(text) for text, _ in fit(spans, width)) == width


@pytest.mark.parametrize("node", NODES)
def test_nothing_is_wider_or_narrower_than_the_screen(view, node):
    v = view(node, seconds=2.0)
    for width in (1, 17, 40, 60, 80, 100, 120, 160, 200, 300):
        rows = header.header(v, width) + gpus.table(v, width, 20, 0) + matrix.rows(v, width, 20)
        rows += nics.table(v, width, 9) + nics.table(v, width, 30)
        rows += [*links.rows(v, width, 20, 0), tab_row(v, width, ["Main", "Links"], 0)[0]]
        rows.append(function_bar(v, width, [FunctionKey("F5", "Links", "swap")], status(v))[0])
        assert {len(text_of(row)) for row in rows} == {width}


def test_meter_is_htops():
    spans = bar(BarMeter("CPU", 0.5, "50.0%", "cpu"), 26, UNICODE)
    assert "".join(text for text, _ in spans) == "CPU[|||||     ]      50.0%"


def test_meter_has_the_ceilings_tick():
    for width, inner in ((24, 8), (56, 40)):
        spans = bar(BarMeter("TX", 0.25, "2.830 TB/s", "tx", 0.75), width, UNICODE)
        line = ("|" * (inner // 4)).ljust(inner * 3 // 4) + "¦"
        assert "".join(text for text, _ in spans) == f"TX [{line.ljust(inner)}] 2.830 TB/s"


def test_unknown_meter_is_empty_and_says_so():
    spans = bar(BarMeter("CPU", Missing("no permission"), "?", "cpu"), 26, UNICODE)
    assert "".join(text for text, _ in spans) == "CPU[          ]          ?"


@pytest.mark.parametrize(("sweep_s", "slow"), [(0.002, False), (2.5, True)])
def test_a_driver_is_not_called_slow_because_the_interval_was_changed(view, sweep_s, slow):
    v = view("rtx3090-pair", seconds=2.0)
    v.frame = replace(
        v.frame, tick=replace(v.frame.tick, interval_s=0.1), cost=Cost(interval_s=10.0, sweep_s=sweep_s)
    )
    row = text_of(tab_row(v, 200, ["Main"], 0)[0])
    assert "- 10 s +" in row
    assert ("(slow driver)" in row) is slow


def test_80_columns_keep_the_verdict_whole(view):
    v = view()
    assert v.frame.verdict.headline in texts(header.header(v, 80))[2]


@pytest.mark.parametrize("width", [80, 90, 120, 160, 200])
@pytest.mark.parametrize(
    ("top", "height", "words"), [(0, 9, "1-8 of 16"), (8, 9, "9-16 of 16"), (3, 2, "4-4 of 16")]
)
def test_gpus_that_are_not_seen_are_counted(view, width, top, height, words):
    v = view("dgx2", seconds=1.0)
    head = texts(gpus.table(v, width, height, top))[0]
    assert f" {words} " in f"{head} "
    rest = head.replace(words, "").split()
    assert set(rest) <= set(texts(gpus.table(v, width, 17, 0))[0].split()), "no title is cut"
    assert " of 16" not in texts(gpus.table(v, width, 17, 0))[0]


def test_gpu_table_at_80_columns(view):
    rows = texts(gpus.table(view("dgx-h100", "idle"), 80, 9, 0))
    assert " ".join(rows[0].split()) == "GPU UTIL% MEM PWR TEMP TX GB/s RX GB/s %SPD LINKS ERR TX, 9 s"
    cells = rows[1].split()
    assert cells[:3] == ["0", "0", "0.5/80G"], "the name, which is the same for all, is in the header"
    assert cells[3].endswith("W")
    assert cells[4].endswith("°")
    assert cells[5:10] == ["0", "0", "0", "18/18", "0"]
    assert len(rows) == 9
    assert "NAME" in texts(gpus.table(view("mixed"), 120, 9, 0))[0]


def test_a_node_without_nvlink_has_pcie_columns_instead(view):
    rows = texts(gpus.table(view("rtx4090-pair"), 120, 9, 0))
    assert "PCIE NOW" in rows[0]
    assert "%SPD" not in rows[0]
    assert "gen4 x16" in rows[1]


def test_columns_are_dropped_never_cut(view):
    v = view()
    for width in range(20, 120):
        columns = re.sub(r"[TR]X, [\d.]+ s", "", texts(gpus.table(v, width, 9, 0))[0])
        for title in columns.split():
            assert title in {
                "GPU",
                "NAME",
                "UTIL%",
                "MEM",
                "PWR",
                "TEMP",
                "TX",
                "GB/s",
                "RX",
                "%SPD",
                "LINKS",
                "ERR",
            }


def test_links_say_what_the_selected_one_is_joined_to(view):
    rows = texts(links.rows(view("hgx-a100-4", link=1), 100, 16, 0))
    assert "GPU 0 > link 1 > GPU 1 link 1" in rows[-1]


def test_a_link_that_is_down_has_no_traffic_and_no_zero(view):
    v = view("dgx-h100", "link-down", 12.0)
    v.gpu = 3
    row = next(r for r in texts(links.rows(v, 80, 20, 0)) if " down " in r)
    assert row.split()[:4] == ["7!", "down", "-", "-"]


def test_the_cells_of_links_are_drawn_again_when_what_they_show_changes(view):
    v = view("hgx-a100-4")
    g, *other_gpus = v.frame.gpus
    link, *others = g.links
    worst = Finding("link-down", Severity.CRITICAL, g.gpu.uuid, 0, "A sentence", headline="Link 0 is down")

    def with_errors(total):
        return replace(link, errors={kind: ErrorCount(total, 0, 0.0, None) for kind in link.errors})

    def frame_with(link):
        return replace(v.frame, gpus=(replace(g, links=(link, *others)), *other_gpus))

    link = with_errors(8)
    before = frame_with(link)
    changed = (
        frame_with(replace(link, state=LinkState.SLEEP)),
        frame_with(replace(link, remote=others[-1].remote)),
        frame_with(with_errors(9)),
        frame_with(replace(link, mean_tx_bytes_per_s=1e9)),
        replace(before, findings=(worst,)),
    )
    for after in changed:
        shown = []
        for v.frame in (before, after):
            v.gpus = v.frame.gpus
            shown.append(links.rows(v, 140, 20, 0))
        afresh = ViewState(frame=after, history=v.history, gpus=after.gpus, now_s=v.now_s)
        assert shown[0] != shown[1] == links.rows(afresh, 140, 20, 0)


def test_errors_that_moved_are_shown_in_the_header_and_marked(view):
    v = view("dgx-h100", "errors", 30.0)
    assert "GPU 3 link 7" in header.health(v, 54)[0][0]
    assert "replays in 30 s" in header.health(v, 54)[0][0]
    spans = gpus.table(v, 80, 9, 0)[4]
    assert any(role == "error" and text.strip() for text, role in spans)


def test_no_error_is_claimed_of_gpus_whose_counters_are_unread(view):
    v = view("rtx3090-pair", seconds=2.0)
    assert header._errors(v.frame)[0] == "no link error counted since start"
    unread = replace(v.gpus[1].nvlink, errors_since_start=Missing("no permission"))
    frame = replace(v.frame, gpus=(v.gpus[0], replace(v.gpus[1], nvlink=unread)))
    assert header._errors(frame)[0] == "no link error counted since start; not read: GPU 1"


def test_a_simulated_node_is_said_to_be_one(view):
    assert "SIMULATED" in texts(header.header(view(), 80))[0]


def test_words_are_left_out_by_whole_parts():
    line = "8 × H100 · driver 570.86.15 · CUDA 12.8"
    assert fit_text(line, 40, UNICODE) == line
    assert fit_text(line, 38, UNICODE) == "8 × H100 · driver 570.86.15"
    assert fit_text(line, 8, UNICODE) == "8 × H100"
    assert fit_text(line, 6, UNICODE) == "8 × H…"
    assert fit_text(line, 6, ASCII) == "8 x H~"


@given(st.text(max_size=60), st.integers(0, 40))
def test_words_never_take_more_than_their_room(line, width):
    assert len(fit_text(line, width, ASCII)) <= width
    assert fit_text(line, width, ASCII).isascii()


def test_findings_are_shown_worst_first_with_their_count(view):
    def finding(severity: str, summary: str) -> Finding:
        return Finding("rule", Severity(severity), None, None, "A sentence", headline=summary)

    v = view()
    warnings = (finding("warning", "w1"), finding("warning", "w2"), finding("info", "i"))
    v.frame = replace(v.frame, findings=warnings)
    assert header.health(v, 54) == [("2 warnings: w1", "warn")]
    v.frame = replace(v.frame, findings=(finding("critical", "GPU 3 fell off the bus"), *warnings))
    for room, text in (
        (54, "1 critical, 2 warnings: GPU 3 fell off the bus"),
        (40, "critical +2: GPU 3 fell off the bus"),
        (29, "! GPU 3 fell off the bus (+2)"),
    ):
        assert header.health(v, room) == [(text, "error")]


@given(
    st.integers(80, 300),
    st.lists(
        st.tuples(
            st.sampled_from([s for s in Severity if s.is_problem]),
            st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_HEADLINE),
        ),
        min_size=1,
        max_size=99,
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=MAX_HEADLINE),
)
def test_no_verdict_and_no_worst_finding_is_cut_from_80_columns_on(width, found, verdict):
    findings = tuple(Finding("rule", s, None, None, "A sentence", headline=text) for s, text in found)
    frame = replace(EMPTY_FRAME, findings=findings, verdict=Verdict("carrying", "", verdict))
    rows = texts(header.header(ViewState(frame=frame), width))
    assert rows[2].endswith(verdict) or verdict in rows[2]
    worst = max(s for s, _ in found)
    assert any(text in rows[3] or text == verdict for s, text in found if s is worst)
    assert all(len(row) <= width for row in rows)
    bars = [row[: row.index("]")] for row in rows if "[" in row[:5]]
    assert all(len(bar) <= width // 3 for bar in bars), "meters get at most a third"


def test_the_header_names_the_machine_but_no_machine_for_a_simulated_node(view):
    v = view()
    real = replace(v.frame.inventory, demo=None, hostname="node-17")
    assert "node-17" not in texts(header.header(v, 200))[0]
    v.frame = replace(v.frame, inventory=real)
    for width in (60, 80, 200):
        assert "node-17 · 8 × H100" in texts(header.header(v, width))[0]


def test_links_that_are_not_read_any_more_do_not_stay_up_in_the_header(view):
    v = view()
    read, old = v.frame, tuple(replace(g, stale=True, age_s={"states": 42.0}) for g in v.frame.gpus)
    for gpus_, shown in ((read.gpus, " · "), (old, " 42s ago · ")):
        v.frame = replace(read, gpus=gpus_)
        assert f"144/144 links up{shown}4 NVSwitches" in texts(header.header(v, 120))[1]


@pytest.mark.parametrize("width", [80, 120, 200, 274])
def test_the_ceiling_is_marked_at_every_width(view, width):
    for row in texts(header.header(view(), width))[2:4]:
        assert "¦" in row[: row.index("]")]


def test_green_is_never_beside_something_critical(view):
    v = view()
    v.frame = replace(v.frame, verdict=Verdict("carrying", "", "NVLink works"))
    assert header._verdict(v.frame) == ("NVLink works", "ok")
    bad = Finding("nic-down", Severity.CRITICAL, None, None, "A sentence", headline="NIC mlx5_5 went down")
    v.frame = replace(v.frame, findings=(bad,))
    assert all(role != "ok" for row in header.header(v, 80) for _, role in row)
    v.frame = replace(v.frame, verdict=Verdict("degraded", "", bad.headline))
    assert header._verdict(v.frame)[1] == "error"


def test_status_says_why_a_value_of_the_selection_is_unknown(view):
    v = view("h100-mig")
    assert status(v) == "GPU 0 ? links: MIG is on"
    v = view("gb10", "idle")
    assert status(v) == "GPU 0 ? mem: not supported"
    assert status(view("dgx-h100")) == ""
    assert status(view("rtx3090-pair", gpu=1)) == "GPU 1 counts RAW bytes, with protocol"


def test_the_reason_stands_on_the_last_line(view):
    v = view("h100-mig")
    bar, clicks = function_bar(v, 80, [FunctionKey("F5", "Links", "swap")], status(v))
    assert text_of(bar).endswith("GPU 0 ? links: MIG is on ")
    assert [text_of(bar)[start:end].split()[0] for start, end, _ in clicks] == [
        "F1Help",
        "F2Setup",
        "F5Links",
        "F7Record",
        "F8Snap",
        "F10Quit",
    ]


def test_the_window_of_the_rates_is_shown_while_the_driver_is_slow(view):
    v = view("dgx-h100")
    v.frame = replace(v.frame, tick=replace(v.frame.tick, interval_s=0.1))
    names = ["Main", "Links", "Errors", "Health", "Events!", "Processes", "History"]
    assert re.search(r"History +mean [\d.]+ s - [\d.]+ s \+ *$", text_of(tab_row(v, 80, names, 0)[0]))


def test_the_window_of_the_rates_is_shown_while_recording(view):
    v = view("dgx-h100")
    v.recording = True
    names = ["Main", "Links", "Errors", "Health", "Events!", "Processes", "History"]
    assert re.search(r"History +mean [\d.]+ s +REC *$", text_of(tab_row(v, 80, names, 0)[0]))
    v.recording, v.paused = False, True
    assert re.search(r"History +PAUSED +\d\d:\d\d:\d\d *$", text_of(tab_row(v, 80, names, 0)[0]))


@pytest.mark.parametrize("width", [40, 60, 79, 80])
def test_quit_is_never_cut(view, width):
    tab_keys = [FunctionKey(name, "Label", "swap") for name in ("Enter", "F3", "F4", "F6", "a")]
    bar, clicks = function_bar(view("dgx-h100"), width, tab_keys, "")
    assert "F10Quit" in text_of(bar)
    assert all(end <= width + 2 for _, end, _ in clicks)


def test_error_kinds_that_counted_are_the_last_to_go(view):
    v = view("hgx-b200")
    plain = links.rows(v, 60, 20, 0)[0]
    assert "DISC" not in text_of(plain)
    g = v.gpus[0]
    errors = dict(g.links[3].errors) | {"xmit_discards": ErrorCount(7, 7, 7.0, 1.0)}
    moved = replace(g, links=(*g.links[:3], replace(g.links[3], errors=errors), *g.links[4:]))
    v.gpus = (moved, *v.gpus[1:])
    assert "DISC" in text_of(links.rows(v, 60, 20, 0)[0])


def test_ascii_means_ascii(view):
    v = view(glyphs=ASCII)
    rows = gpus.table(v, 120, 9, 0) + links.rows(v, 120, 9, 0) + header.header(v, 120)
    assert all(text.isascii() for text in texts(rows))


def test_pairs_behind_switches_are_estimated_only_when_asked(view):
    assert "≈" not in "".join(texts(matrix.rows(view(), 90, 10)))
    head, first, *_ = texts(matrix.rows(view(matrix_content="tx"), 150, 10))
    assert "GB/s sent" in head
    assert first.count("≈") == 7
    assert "N0" not in head, "NVLink does not lead to a NIC"
    direct = view("hgx-a100-4", matrix_content="tx")
    assert "≈" not in "".join(texts(matrix.rows(direct, 90, 10))[1:])
    sent = [float(cell) for cell in texts(matrix.rows(direct, 90, 10))[1].split()[2:5]]
    total = direct.frame.gpus[0].nvlink.mean_tx_bytes_per_s
    assert sum(sent) == pytest.approx(total / 1e9, rel=0.02), "a row adds up to the TX of its GPU"
    estimating = view(matrix_content="tx")
    for width in range(1, 90, 7):
        assert all(len(text) <= width for text in texts(matrix.rows(estimating, width, 10)))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ("dgx-h100", "TX, RX: mean of 2 s"),
        ("h100-mig", "TX, RX: mean of 1 s  -"),  # of PCIe: only the meters have rates
        ("rtx4090-pair", "TX, RX: samples of 20 ms"),  # and not a mean of the time between two of them
    ],
)
@pytest.mark.parametrize("seconds", [6.0, 12.0])
def test_the_tab_row_has_the_window_of_the_meters(view, node, words, seconds):
    v = view(node, seconds=seconds)
    row, _ = tab_row(v, 120, ["Main"], 0)
    assert words in text_of(row)


def test_the_meters_say_that_the_links_of_a_gpu_could_not_be_read(view):
    v = view("hgx-h100-4")
    assert not [meter.text for meter in meters(v) if meter.text.endswith("+?")]
    *others, last = v.frame.gpus
    unread = replace(last, nvlink=replace(last.nvlink, links_up=Missing("unknown driver error")))
    v.frame = replace(v.frame, gpus=(*others, unread))
    assert [meter.caption for meter in meters(v) if meter.text.endswith("+?")] == ["TX", "RX"]


@pytest.mark.parametrize("content", matrix.CONTENTS)
def test_a_pair_whose_only_link_is_down_is_marked_and_has_that_link(view, content):
    v = view("dgx1-v100", "link-down", 14.0, matrix_content=content)
    rows = [text.split() for text in texts(matrix.rows(v, 90, 10))]
    assert [row[0] for row in rows[1:] if any(cell.endswith("!") for cell in row[1:])] == ["3!", "7!"]
    assert rows[4][8].endswith("!"), "GPU 3 to 7"
    assert rows[4][8] != "·!", "its link has counters, although it is down"
    page = texts(pair_rows.rows(v, 3, 7, 90, 12, 0))
    assert "1 NVLink between them, down" in page[1]
    assert "unknown (link is down)" in page[2]
    assert page[-1].split()[:2] == ["5!", "down"]


def test_a_text_that_is_cut_shows_it():
    assert shorten("TX 1.715 TB/s", 13, UNICODE) == "TX 1.715 TB/s"
    assert shorten("TX 1.715 TB/s", 7, UNICODE) == "TX 1.7…"
    assert [len(shorten("Xid 79 · GPU 3", width, ASCII)) for width in (5, 13, 14)] == [5, 13, 14]
