"""Xids by evidence: recovery action, link states, counters, Xids of other GPUs, and the time since."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvltop.analysis.health.xids import CALM_S, MILD_S, Evidence, severity
from nvltop.kernel_log.catalog import XIDS
from nvltop.model import Event

from .test_down_links import cut, roots
from .test_fires import answer

CLEAN = Evidence(action=0, action_after=True, links_down=(), errors=0, lost=False)
UNREAD = Evidence(action=None, action_after=False, links_down=(), errors=0, lost=False)


def xids(frame):
    return [f for f in frame.findings if f.rule.startswith("xid-") and f.caused_by is None]


@pytest.mark.parametrize("node", ["gb200-tray", "gb300-tray"])
def test_a_tray_on_which_all_report_145_at_once_is_an_echo(watched, node):
    w = watched(node)
    w.run(2)
    for gpu in range(4):
        w.xid(gpu, 145)
    (found,) = roots(w.step())
    assert (found.rule, found.severity, found.gpu) == ("xid-nvlink", "warning", None)
    assert "likely outside this tray" in found.summary
    assert "149" in found.next_step


def test_on_a_board_outside_a_rack_the_switches_are_suspected(watched):
    w = watched("hgx-b200")
    w.run(2)
    for gpu in range(8):
        w.xid(gpu, 145)
    (found,) = roots(w.step())
    assert "outside" not in found.summary
    assert "NVSwitch" in found.next_step


def test_three_of_four_are_not_an_echo_of_the_whole_tray(watched):
    w = watched("gb200-tray")
    w.run(2)
    for gpu in range(3):
        w.xid(gpu, 145)
    assert [w.index(f) for f in xids(w.run(3))] == [0, 1, 2]


def test_a_tray_that_reports_one_after_the_other_is_not_an_echo(watched):
    w = watched("gb200-tray")
    w.run(2)
    for gpu in range(4):
        w.xid(gpu, 145)
        w.step()
    assert len(xids(w.run(2))) == 4


def test_a_tray_with_a_fault_of_its_own_is_not_an_echo(watched):
    w = watched("gb200-tray")
    w.run(2)
    w.xid(2, 149)
    for gpu in range(4):
        w.xid(gpu, 145)
    (found,) = xids(w.step())
    assert (w.index(found), found.severity) == (2, "critical")
    # NVML reports only the code; the line of the kernel log shows at which end of the link the fault is.
    assert "possible source" in found.summary


@pytest.mark.parametrize("is_lost", [True, False])
def test_an_xid_without_a_gpu_waits_until_a_lost_gpu_is_known(watched, is_lost):
    """Earlier recordings do not name the GPU of Xid 79: the driver no longer gave its UUID."""
    w = watched("hgx-a100-4", "gpu-lost" if is_lost else "training")
    w.run(9)
    w.bench.monitor.update(Event(w.bench.clock.now, w.wall, None, "xid", 79))
    frames = [w.bench.frame(), *(w.step() for _ in range(6))]
    found = {f.headline for frame in frames for f in frame.findings if f.rule == "xid-gpu"}
    assert found == {f"Xid 79{' on GPU 3' if is_lost else ''}: fell off the bus"}


def test_damage_on_one_gpu_shows_where_to_look(watched):
    w = watched("gb200-tray")
    w.run(3)
    cut(w.lib, (1, 4))
    w.run(2)
    for gpu in range(4):
        w.xid(gpu, 145)
    frame = w.run(3)
    assert not [f for f in frame.findings if "outside this tray" in f.summary]
    assert "GPU 1" in frame.findings[0].headline


def test_an_illegal_peer_access_with_its_145_is_a_notice_that_names_both(watched):
    w = watched("b200-four")
    w.run(2)
    w.xid(1, 145)
    w.xid(1, 137)
    (found,) = roots(w.step())
    assert (found.rule, found.severity) == ("xid-nvlink", "notice")
    assert "137" in found.summary
    assert "145" in found.summary
    assert "reset" not in found.next_step.replace("needs no reset", "")


def test_an_illegal_peer_access_with_a_requested_reset_is_critical(watched):
    w = watched("b200-four", prepare=lambda lib: answer(lib, 1, 230, None, 1))
    w.run(2)
    w.xid(1, 145)
    w.xid(1, 137)
    found = next(f for f in w.step().findings if f.rule == "xid-nvlink")
    assert found.severity == "critical"
    assert "145" in found.summary
    assert "137" in found.summary


@pytest.mark.parametrize("code", [145, 149])
def test_a_severity_drops_and_ends_when_nothing_else_follows(watched, code):
    w = watched("gb200-two")
    w.run(2)
    w.xid(1, code)
    seen = []
    for _ in range(80):
        w.bench.clock.now += 58.0
        for _ in range(3):
            frame = w.step()
        seen += [f.severity for f in frame.findings if f.rule == "xid-nvlink"] or ["over"]
    steps = list(dict.fromkeys(seen))
    assert steps == (["warning", "notice", "over"] if code == 145 else ["critical", "warning", "over"])
    assert [f.rule for f in frame.past_findings if f.rule == "xid-nvlink"] == ["xid-nvlink"]


def test_an_xid_without_a_gpu_belongs_to_the_lost_gpu(watched):
    from dataclasses import replace

    w = watched("h100-four")
    w.run(3)
    w.bench.monitor.update(Event(w.bench.clock.now, w.wall, None, "xid", 79))
    w.lib.machine.faults = replace(w.lib.machine.faults, scenario="gpu-lost")
    frame = w.run(12)
    (found,) = roots(frame)
    assert (found.rule, w.index(found)) == ("gpu-lost", 3)
    (xid,) = [f for f in frame.findings if f.rule == "xid-gpu"]
    assert (w.index(xid), xid.caused_by) == (3, found.key)


codes = st.lists(st.sampled_from(sorted(XIDS)), min_size=1, max_size=4)
evidences = st.builds(
    Evidence,
    action=st.sampled_from([None, 0, 1, 4]),
    action_after=st.booleans(),
    links_down=st.sampled_from([(), (3,)]),
    errors=st.sampled_from([0, 7]),
    lost=st.booleans(),
)


@given(codes=codes, seen=evidences, quiet=st.floats(0, 1e5), blamed=st.booleans())
def test_more_evidence_is_never_milder_and_time_never_makes_it_worse(codes, seen, quiet, blamed):
    def rank(*args):
        found = severity(*args)
        return -1 if found is None else found.rank

    now = rank(codes, seen, quiet, blamed)
    assert rank(codes, seen, quiet + 1000, blamed) <= now
    damaged = Evidence(1, seen.action_after, (3,), 7, seen.lost)
    assert rank(codes, damaged, quiet, blamed) >= now


@given(codes=codes)
def test_a_critical_xid_stays_critical_while_the_recovery_action_is_unknown(codes):
    first = severity(codes, UNREAD, 0.0)
    if first == "critical":
        assert severity(codes, UNREAD, 10 * MILD_S) == "critical"
        assert severity(codes, CLEAN, CALM_S) == "warning"
