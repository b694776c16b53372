"""The Health tab, the marks, and the alerts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nvltop.analysis.rate_history import RateHistory
from nvltop.model import Event, Finding, Severity
from nvltop.report.findings import evidence
from nvltop.tui.render import header
from nvltop.tui.render.glyphs import UNICODE
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.shell.alerts import Alerts, notification
from nvltop.tui.tabs.health import rows
from nvltop.tui.tabs.main import gpus, links, matrix


def seen(bench, node="h100-four", scenario="link-down", seconds=14.0, xids=()):
    b = bench(node, scenario)
    b.interval_s = 1.0
    for gpu, code in xids:
        b.monitor.update(Event(b.clock.now, 1.8e9, b.inventory.gpus[gpu].uuid, "xid", code))
    frame = b.run(seconds)
    return ViewState(frame=frame, gpus=frame.gpus, history=RateHistory())


def test_findings_come_first_then_what_is_unknown_then_what_is_fine(bench):
    found = rows.entries(seen(bench).frame)
    assert (found[0].state, found[0].where) == ("critical", "GPU 3 link 7")
    states = [e.state for e in found]
    assert states.index("fine") > states.index("critical")
    captions = dict(found[0].details)
    assert "links up after 17" in captions["Evidence"]
    assert captions["Next step"]
    assert "DCGM" in captions["Rule"]


def test_a_healthy_node_says_what_was_looked_at(bench):
    found = rows.entries(seen(bench, scenario="training").frame)
    assert found[0].what == "No fault found"
    assert any("72 of 72 links up" in e.what for e in found)
    assert any(e.where == "Xids" and e.state == "unknown" for e in found)


def test_an_event_of_an_incident_is_listed_once_with_meaning_and_action(bench):
    xids = [(2, 149), *((gpu, 145) for gpu in range(8) if gpu != 2)]
    frame = seen(bench, "hgx-b200", "training", 4, xids).frame
    found = rows.entries(frame)
    assert not [e for e in found if e.state == "event"]
    incident, first, *lines, more = found[: rows.MAX_INCIDENT_EVENTS + 2]
    assert (incident.state, incident.where, incident.role) == ("incident", "GPU 2", "error")
    assert first.what == "Xid 149 of GPU 2 (nvml): NVLink 5 link fault (NETIR)"
    assert dict(first.details)["NVIDIA's action"]
    assert all("Xid 145" in e.what for e in lines)
    assert more.what == "4 more events: Xid 145 of GPU 4, GPU 5, GPU 6, GPU 7"
    source = next(f for f in frame.findings if f.rule == "xid-nvlink" and not f.caused_by)
    assert (source.severity, source.next_step) == ("critical", frame.incidents[0].next_step)


def test_an_event_without_an_incident_keeps_its_own_line(bench):
    found = rows.entries(seen(bench, "hgx-b200", "training", 4, [(1, 31)]).frame)
    assert [(e.state, e.where) for e in found if "Xid 31:" in e.what] == [("event", "GPU 1")]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_rows_fit(bench, width):
    found = rows.entries(seen(bench).frame)
    drawn = rows.rows(found, width, 12, 0, 0, UNICODE)
    assert {len(text_of(row)) for row in drawn} == {width}
    assert len(drawn) <= 12


def test_a_narrow_list_shows_what_the_finding_is(bench):
    found = rows.entries(seen(bench).frame)
    assert "GPU 3 link 7 DOWN" in text_of(rows.rows(found, 40, 12, 0, 0, UNICODE)[1])


def test_the_selected_finding_is_shown_in_whole_sentences(bench):
    found = rows.entries(seen(bench).frame)
    text = " ".join(text for line in rows.detail_lines(found[0], 60, UNICODE) for text, _ in line)
    for _, words in found[0].details:
        for word in words.split():
            assert word in text


def test_marks_on_gpu_link_and_pair(bench):
    view = seen(bench, "dgx1-v100")
    table = [text_of(row) for row in gpus.table(view, 120, 9, 0)]
    assert [row[:3] for row in table[1:]] == ["  0", "  1", "  2", " 3!", "  4", "  5", "  6", " 7!"]
    view.gpu = 3
    marked = [text_of(row)[:3] for row in links.rows(view, 80, 9, 0)]
    assert " 5!" in marked
    cells = [text_of(row) for row in matrix.rows(view, 60, 9)]
    assert cells[4].startswith(" 3!")
    assert cells[4][:43].endswith("!"), "the column of GPU 7"


def finding(rule="link-down", severity="critical", link=7):
    return Finding(
        rule, Severity(severity), "GPU-a", link, "GPU 3 link 7 went down", headline="GPU 3 link 7 DOWN"
    )


def test_a_finding_alerts_once_while_it_lasts():
    alerts = Alerts(("bell",))
    assert alerts.escapes([]) == ""
    assert alerts.escapes([finding()]) == "\a"
    assert alerts.escapes([finding()]) == ""
    assert alerts.escapes([finding(), finding(link=8)]) == "\a"
    assert alerts.escapes([]) == ""
    assert alerts.escapes([finding()]) == "\a"


def test_a_worse_finding_alerts_again_and_a_notice_never():
    alerts = Alerts(("bell",))
    assert alerts.escapes([finding(severity="notice")]) == ""
    assert alerts.escapes([finding(severity="warning")]) == "\a"
    assert alerts.escapes([finding(severity="critical")]) == "\a"


def test_nothing_is_sent_unless_asked_for():
    assert Alerts(()).escapes([finding()]) == ""


def test_several_new_findings_are_one_notification_that_counts_the_others(monkeypatch):
    monkeypatch.delenv("TMUX", raising=False)
    alerts = Alerts(("desktop",))
    assert alerts.escapes([finding(), finding(link=8), finding(link=9)]) == notification(
        "critical: GPU 3 link 7 DOWN (and 2 more)", {}
    )
    assert alerts.escapes([finding(), finding(link=10)]) == notification("critical: GPU 3 link 7 DOWN", {})


def test_desktop_notifications():
    assert notification("a; b", {}) == "\x1b]9;nvltop: a; b\a\x1b]777;notify;nvltop;a, b\a"
    wrapped = notification("a", {"TMUX": "x"})
    assert wrapped.startswith("\x1bPtmux;\x1b\x1b]9;")
    assert wrapped.endswith("\x1b\\")


def test_large_numbers_of_evidence_have_all_digits_and_a_unit():
    found = Finding("r", Severity.INFO, None, None, "", {"sm_clock_mhz": 1755.0, "power_w": 312.4})
    assert evidence(found) == "sm clock 1755 MHz · power 312 W"


def test_evidence_in_words():
    found = Finding(
        "r",
        Severity.INFO,
        None,
        None,
        "",
        {"replay": {"before": 3, "after": 9}, "window_s": 60, "age_s": 1.25},
    )
    assert evidence(found) == "replays 3 to 9 · window 60 s · data 1.2s old"
    counts = {"rcv": {"before": 0, "after": 1}, "bad_minutes_of_10": 1, "counter": "xmit_discards"}
    words = "receive errors 0 to 1 · bad minutes of 10: 1 · counter of discarded packets"
    assert evidence(replace(found, evidence=counts)) == words
    long = replace(found, evidence={"period_s": 2.74, "window_s": 300, "driver_up_s": 1054100})
    assert evidence(long) == "period 2.74 s · window 5 min · driver up 12 days"


@pytest.mark.parametrize(
    ("node", "scenario", "seconds"),
    [
        ("hgx-b200", "training", 4.0),
        ("dgx-h100", "link-down", 16.0),
        ("dgx-h100", "gpu-lost", 20.0),
        ("dgx-h100", "fabric-stuck", 5.0),
        ("dgx-h100", "p2p-dead", 5.0),
        ("dgx-h100", "errors", 30.0),
        ("dgx1-v100", "link-down", 16.0),
        ("rtx3090-pair", "link-down", 16.0),
    ],
)
def test_no_finding_is_cut_at_80_columns(bench, node, scenario, seconds):
    view = seen(bench, node, scenario, seconds, [(0, 149), (1, 145), (1, 4711)])
    found = view.frame.findings
    assert found
    lines = [text_of(row) for row in header.header(view, 80)]
    # The verdict says it if it breaks NVLink; then the line below does not repeat it.
    assert any(found[0].headline in row for row in lines[2:4])
    entries = rows.entries(view.frame)
    drawn = [text_of(row) for row in rows.rows(entries, 80, len(entries) + 1, 0, 0, UNICODE)]
    for f in found:
        assert any(f.headline in row for row in drawn), f.headline


def test_consequences_stand_below_their_cause_and_name_it(bench):
    found = rows.entries(seen(bench, "dgx1-v100").frame)
    assert [e.state for e in found[:2]] == ["critical", "follows"]
    assert "critical" in dict(found[1].details)["Rule"]
    assert dict(found[1].details)["Follows from"] == found[0].what


def test_what_is_pending_stands_above_what_is_fine(bench):
    frame = seen(bench, scenario="p2p-fallback", seconds=10.0).frame
    found = rows.entries(frame)
    assert [e.state for e in found[:2]] == ["pending", "unknown"] or found[0].state == "pending"
    assert "warning in" in found[0].what
    assert not any(e.what == "No fault found" for e in found)
