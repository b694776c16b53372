"""The simulated rack, through the engine, as text and as JSON; and what began."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest

from nvltop.cli import main
from nvltop.fleet import json as fleet_json
from nvltop.fleet import phrases, text
from nvltop.fleet.engine import FleetEngine
from nvltop.fleet.events import with_roles
from nvltop.fleet.model import FleetFinding, FleetView
from nvltop.fleet.simulated import SimulatedSource
from nvltop.fleet.source import Answer, Query
from nvltop.model import Severity, known

NOW_S = 1_790_000_000.0


def viewed(scenario: str, now_s: float = NOW_S) -> FleetView:
    return FleetEngine(SimulatedSource(scenario, lambda: now_s)).refresh()


def test_a_rack_at_work_is_one_domain_with_complete_sums():
    view = viewed("training")
    (domain,) = view.domains
    assert [node.tray for node in domain.nodes] == list(range(18))
    assert (domain.gpus.complete, domain.links_up.complete, domain.silent) == (72, 1296, 0)
    assert known(domain.tx.complete)
    assert 35e12 < domain.tx.complete < 45e12
    assert view.findings == ()
    assert view.worst_links == ()
    assert all(node.errors.complete == 0 for node in view.nodes)
    values = view.histories[view.nodes[0].key, "tx"]
    assert len(values) == 60
    assert min(values) > 2e12
    assert view.window_s == 60
    assert view.history_step_s == 60


class JoiningTray(SimulatedSource):
    """A rack in which tray 18 is scraped for the first time at `joined_s`."""

    joined_s = 0.0

    def instant(self, query: Query) -> Answer:
        answer = super().instant(query)
        if answer.time_s is not None and answer.time_s >= self.joined_s:
            return answer
        seen = [s for s in answer.samples if s.labels.get("instance") != "tray18:19400"]
        return replace(answer, samples=tuple(seen))


def test_a_node_that_is_scraped_between_two_queries_is_not_called_silent():
    moments = itertools.count(NOW_S)
    source = JoiningTray("training", lambda: next(moments))
    for joined_s in itertools.count(1):
        source.joined_s = NOW_S + joined_s
        moments = itertools.count(NOW_S)
        engine = FleetEngine(source)
        assert not any(node.silent for node in engine.refresh().nodes), joined_s
        if next(moments) < source.joined_s:
            break  # it has come after all queries
    assert joined_s > 5
    moments = itertools.count(NOW_S + 60)
    assert len(engine.refresh().nodes) == 18


def test_a_silent_tray_keeps_its_row_until_it_is_removed():
    clock = [NOW_S]
    engine = FleetEngine(SimulatedSource("tray-silent", lambda: clock[0]))
    view = engine.refresh()
    (domain,) = view.domains
    gone = domain.nodes[6]
    assert gone.silent
    assert gone.silent_since_s == NOW_S - 240
    assert not known(gone.tx.value)
    assert domain.tx.unknown == domain.links_up.unknown == domain.errors.unknown == domain.gpus.unknown == 1
    assert not known(domain.tx.complete)
    assert phrases.rate_sum(domain.tx).endswith(" TB/s + 1 unknown")
    assert not engine.retire(domain.nodes[0].key)
    assert engine.retire(gone.key)
    (domain,) = engine.refresh().domains
    assert len(domain.nodes) == 17
    assert known(domain.tx.complete)
    shown = text.render(view)
    assert "tray07    4        ?       ?       ?    ?       ?      ?      ?  silent since" in shown


def test_the_culprit_comes_before_its_71_echoes():
    view = viewed("xid")
    roles = [finding.role for finding in view.findings]
    assert roles.count("began") == 1
    began = view.findings[roles.index("began")]
    assert (began.rule, began.gpu, began.link) == ("xid-149", "1", "9")
    assert roles.count("follows") == 72  # 71 Xids, and the finding of the link
    lines = phrases.event_lines(view)
    assert [line.role for line in lines] == ["began", "follows"]
    assert lines[1].text == "71 × Xid 145 NVLink RLW, link-down within 2.8s"
    (link,) = view.worst_links
    assert (link.gpu, link.link) == ("1", "9")


def xid(node: str, code: int, at_s: float) -> FleetFinding:
    return FleetFinding(node, "xid", f"xid-{code}", Severity.CRITICAL, "0", first_s=at_s, exact=True)


@pytest.mark.parametrize(
    ("events", "roles"),
    [
        # A clock that is a second behind must not make an echo the cause.
        ([xid("b", 145, 99.0), xid("a", 149, 100.0)], ["began", "follows"]),
        # An echo long before the cause is not its echo, nor is one long after it.
        ([xid("b", 145, 80.0), xid("a", 149, 100.0), xid("b", 145, 400.0)], ["", "began", ""]),
        # Only echoes: the metrics do not show who began.
        ([xid("a", 145, 100.0), xid("b", 145, 101.0)], ["", ""]),
        # Two faults are two incidents.
        ([xid("a", 149, 100.0), xid("b", 79, 101.0), xid("c", 145, 102.0)], ["began", "began", "follows"]),
        ([replace(xid("a", 149, 1.0), first_s=None), xid("b", 145, 2.0)], ["", ""]),
    ],
)
def test_roles(events, roles):
    found = with_roles(events, {"a": "d/1", "b": "d/1", "c": "d/1"})
    assert [f.role for f in found] == roles
    assert {f.rule for f in found} == {f.rule for f in events}


def test_echoes_in_another_domain_are_none():
    found = with_roles([xid("a", 149, 100.0), xid("b", 145, 101.0)], {"a": "d/1", "b": "e/1"})
    assert [f.role for f in found] == ["began", ""]


def test_the_json_report_has_reasons_for_what_is_unknown():
    values = json.loads(fleet_json.render(viewed("tray-silent")))
    assert values["schema"] == "nvltop-fleet/1"
    assert {"nodes", "domains", "worst_links", "findings"} <= set(values)
    gone = next(node for node in values["nodes"] if node["state"] == "silent")
    assert gone["tx_bytes_per_s"] is None
    assert gone["missing"]["tx_bytes_per_s"].startswith("silent since")
    assert gone["silent_since"] == "2026-09-21T14:09:20.000Z"
    (domain,) = values["domains"]
    assert domain["unknown"]["tx_bytes_per_s"] == 1
    assert domain["tx_bytes_per_s"] > 30e12
    worst = json.loads(fleet_json.render(viewed("link-degraded"), several=True))["worst_links"]
    assert [(w["node"], w["gpu"], w["link"], w["findings"]) for w in worst] == [
        ("tray12", "2", "5", ["link-errors-nvl5"])
    ]
    assert worst[0]["errors"] > 50


def test_the_command_line(capsys, monkeypatch):
    assert main(["--demo", "nvl72", "--scenario", "xid", "--once"]) == 0
    assert "began   tray04 GPU 1 link 9" in capsys.readouterr().out
    assert main(["--prometheus", "http://127.0.0.1:9", "--json"]) == 3
    assert capsys.readouterr().err == "nvltop: http://127.0.0.1:9: Connection refused\n"
    for arguments, said in (
        (["--prometheus", "http://u:p@h", "--once"], "NVLTOP_PROMETHEUS_PASSWORD_FILE"),
        (["--prometheus", "http://h", "--select", "job", "--once"], "is not a label matcher"),
        (["--prometheus", "http://h", "--demo"], "cannot be combined with --demo"),
        (["--prometheus", "http://h", "--csv"], "cannot be combined with --csv"),
        (["--select", 'a="b"', "--once"], "needs --prometheus"),
        (["--demo", "nvl72", "--scenario", "throttled"], "has the scenarios"),
        (["--demo", "nvl72", "--csv"], "cannot be combined with --csv"),
        (["--demo", "dgx-h100", "--scenario", "tray-silent", "--once"], "tray-silent"),
    ):
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert ":p@" not in captured.err
    assert main(["--demo", "list"]) == 0
    assert "nvl72" in capsys.readouterr().out
    assert main(["--print-rules"]) == 0
    assert "record: nvltop:node_nvlink_transmit_bytes:rate1m" in capsys.readouterr().out
