"""What differs between two states of one node, and between two nodes, and what of it matters."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nvltop.compare.json import to_json as compared_json
from nvltop.compare.text import to_text, words
from nvltop.comparison.collector import Comparison
from nvltop.comparison.differences import FIRMWARE, INFORMATION, MIN_OBSERVED_S, compare
from nvltop.comparison.improvement import ORDERS, RISING, TOPOLOGY, is_better
from nvltop.comparison.sides import Side, less_read, remotes_differ
from nvltop.model import Severity
from nvltop.report.json import to_json

BEGUN_S = 1.79e9


def report_of(frame) -> dict:
    return json.loads(json.dumps(to_json(frame)))


@pytest.fixture
def node(bench) -> dict:
    """Return the report of a healthy node."""
    return report_of(bench("hgx-a100-4").run(3))


def sides(report, change=lambda r: None, hours: float = 2.0, redacted: bool = False) -> tuple[Side, Side]:
    after = deepcopy(report)
    change(after)
    return (
        Side("before.json", report, BEGUN_S, redacted),
        Side("after.json", after, BEGUN_S + hours * 3600, redacted),
    )


def that_matter(found: Comparison) -> list[tuple[str, str, object, object, Severity]]:
    return [(d.where, d.what, d.before, d.after, d.severity) for d in found.differences if d.matters]


def test_a_state_equals_itself(node):
    found = compare(*sides(node))
    assert not found.matters
    assert found.differences == ()
    assert found.pairing.same_node is True
    assert "Nothing that matters differs." in to_text(found)
    assert "link state (48)" in found.equal


def set_link(key: str, value: object):
    def change(report: dict) -> None:
        report["gpus"][3]["links"][7][key] = value

    return change


def add_errors(count: int, kind: str = "replay"):
    def change(report: dict) -> None:
        error = report["gpus"][3]["links"][7]["errors"][kind]
        error["total"] += count

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_link("state", "down"), ("GPU 3 link 7", "link state", "up", "down", "critical")),
        (set_link("state", "sleep"), ("GPU 3 link 7", "link state", "up", "sleep", "critical")),
        (set_link("state", "unknown"), ("GPU 3 link 7", "link state", "up", "unknown", "unknown")),
        (set_link("speed_bytes_per_s", 1e9), ("GPU 3 link 7", "link speed", 25e9, 1e9, "warning")),
        (add_errors(505), ("GPU 3 link 7", "errors: replay", 0, 505, "warning")),
        (
            lambda r: r["node"].update(driver_version="580.1"),
            ("node", "driver_version", "570.86.15", "580.1", "notice"),
        ),
        (lambda r: r["gpus"][1]["pcie"].update(width=8), ("GPU 1", "PCIe width", 16, 8, "warning")),
        (lambda r: r["gpus"][2].update(state="lost"), ("GPU 2", "state", "ok", "lost", "critical")),
        (lambda r: r["gpus"].pop(), ("GPU 3", "gpu", "present", "absent", "critical")),
    ],
)
def test_a_difference_that_matters(node, change, expected):
    before, after = sides(node, change)
    found = that_matter(compare(before, after))
    assert found[0][:2] == expected[:2]
    if expected[1] != "link speed":
        assert found[0][2:4] == expected[2:4]
    assert found[0][4] == expected[4]


def set_fabric(**values: str):
    return lambda report: report["gpus"][1].setdefault("fabric", {}).update(values)


def set_cell(text: str):
    def change(report: dict) -> None:
        report["matrix"]["cells"][0][1] = report["matrix"]["cells"][1][0] = text

    return change


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (set_link("state", "up"), set_link("state", "down")),
        (set_link("state", "up"), set_link("state", "sleep")),
        (set_link("state", "sleep"), set_link("state", "down")),
        (set_link("speed_bytes_per_s", 25e9), set_link("speed_bytes_per_s", 20e9)),
        (lambda r: r["gpus"][2].update(state="ok"), lambda r: r["gpus"][2].update(state="lost")),
        (lambda r: r["gpus"][1]["pcie"].update(width=16), lambda r: r["gpus"][1]["pcie"].update(width=8)),
        (set_fabric(state="completed"), set_fabric(state="in-progress")),
        (set_fabric(status="success"), set_fabric(status="unknown driver error")),
        (set_fabric(health="healthy"), set_fabric(health="limited-capacity")),
        (set_cell("NV4"), set_cell("NV3")),
        (set_cell("NV1"), set_cell("SYS")),
        (set_cell("PIX"), set_cell("NODE")),
    ],
)
def test_a_change_for_the_better_is_a_notice_at_most(node, good, bad, is_reversed):
    """Also if the side that was named first is the later one."""
    healthy, faulty = deepcopy(node), deepcopy(node)
    good(healthy)
    bad(faulty)
    # With `is_reversed`, the first side is two hours younger than the second.
    later_s = -7200.0 if is_reversed else 7200.0
    states = {"better": (faulty, healthy), "worse": (healthy, faulty)}
    found = {}
    for way, (first, last) in states.items():
        a, b = (last, first) if is_reversed else (first, last)
        found[way] = compare(Side("a", a, BEGUN_S), Side("b", b, BEGUN_S + later_s)).differences
    assert max(d.severity for d in found["better"]) == Severity.NOTICE
    assert max(d.severity for d in found["worse"]) >= Severity.WARNING
    assert {(d.where, d.what) for d in found["better"]} == {(d.where, d.what) for d in found["worse"]}


ANY_VALUE = st.one_of(st.text(max_size=8), st.floats(), st.integers(), st.none(), st.sampled_from(
    ["ok", "lost", "up", "down", "sleep", "active", "NV18", "NV", "PIX", "SYS", "healthy"]
))  # fmt: skip


@given(st.sampled_from([*ORDERS, *RISING, TOPOLOGY, "name"]), ANY_VALUE, ANY_VALUE)
def test_of_two_values_at_most_one_is_better(what, a, b):
    assert not (is_better(what, a, b) and is_better(what, b, a))
    assert not is_better(what, a, a)
    assert not is_better("name", a, b)


@pytest.mark.parametrize("name", ["dgx1-v100", "hgx-a100-4"])
def test_of_a_lost_gpu_nothing_has_changed_that_could_not_be_read(bench, name):
    """What is no longer read is unknown with its reason; the links of the other GPUs are as they were."""
    b = bench(name, "gpu-lost")
    before = report_of(b.run(3))
    b.run(20)
    b.monitor.update(b.session.open())
    after = report_of(b.run(3))
    found = compare(Side("a", before, BEGUN_S), Side("b", after, BEGUN_S + 23)).differences
    assert {(d.where, d.what) for d in found if d.severity == Severity.CRITICAL} >= {("GPU 3", "state")}
    unread = [d for d in found if d.severity == Severity.UNKNOWN]
    assert {d.what for d in unread} >= {"topology", "link state", "errors: replay"}
    assert {d.note for d in unread} == {"unknown after: GPU is lost"}
    assert [d for d in found if d.severity == Severity.WARNING and not d.what.startswith("finding")] == []
    others = [d for d in found if d.where.startswith("GPU ") and not d.where.startswith("GPU 3")]
    assert {d.what for d in others} <= {"finding: xid-gpu", "NVLink TX", "NVLink RX", "util_percent"}


END = {"kind": "gpu", "pci_bus_id": "0:61:0", "gpu": 3, "link": 7}


@pytest.mark.parametrize(
    ("end", "differ"),
    [
        ({}, False),
        ({"gpu": 2}, False),  # the same device has another number
        ({"gpu": None}, False),
        ({"pci_bus_id": "0:51:0"}, False),  # another node with the same layout
        ({"pci_bus_id": "0:51:0", "gpu": 2}, True),
        ({"pci_bus_id": "0:51:0", "gpu": None}, True),
        ({"link": 6}, True),
        ({"link": None}, None),
        ({"kind": "switch"}, True),
        (dict.fromkeys(END), None),
        ({"kind": "unknown", "pci_bus_id": None, "gpu": None, "link": None}, None),
        ({"kind": "unknown", "pci_bus_id": None, "gpu": None, "link": 6}, True),
    ],
)
def test_a_remote_end_that_could_not_be_read_does_not_differ(end, differ):
    a, b = {"remote": END}, {"remote": END | end}
    assert (remotes_differ(a, b), remotes_differ(b, a), remotes_differ(b, b)) == (differ, differ, False)
    if differ is None:
        assert (less_read(a, b), less_read(b, a)) == (1, 0)


def test_an_increase_is_given_over_its_time(node):
    found = compare(*sides(node, add_errors(505)))
    assert "+505, 252 per hour" in to_text(found)
    [error] = [d for d in json.loads(compared_json(found))["differences"] if d["what"] == "errors: replay"]
    assert (error["increase"], error["per_hour"], error["over_s"]) == (505, 252.5, 7200.0)


def test_a_counter_that_fell_was_reset(node):
    before, after = sides(node, add_errors(7))
    found = compare(after, Side("b", before.report, BEGUN_S + 3 * 3600))
    [reset] = [d for d in found.differences if d.what == "errors: replay"]
    assert reset.increase is None
    assert "reset" in reset.note


def test_the_earlier_side_may_come_second(node):
    before, after = sides(node, add_errors(7))
    [grown] = [d for d in compare(after, before).differences if d.what == "errors: replay"]
    assert (grown.before, grown.after, grown.increase) == (7, 0, 7)
    assert grown.matters


def test_informative_counts_and_gauges_do_not_matter(node):
    def change(report: dict) -> None:
        report["gpus"][0].update(power_w=1.0, temperature_c=99.0, sm_clock_mhz=210.0)
        report["gpus"][0]["pcie"]["gen"] = 1
        report["gpus"][0]["util_percent"] = 0.0

    found = compare(*sides(node, change))
    assert not found.matters
    assert {d.what for d in found.differences} >= {"sm_clock_mhz", "util_percent", "PCIe gen"}


@pytest.mark.parametrize(("factor", "matters"), [(0.95, False), (1.05, False), (0.8, True), (1.3, True)])
def test_traffic_matters_beyond_a_tenth(node, factor, matters):
    before, after = sides(node)
    rates = {"0 TX": [50e9, 51e9, 900e9], "0 RX": [50e9]}
    changed = {"0 TX": [51e9 * factor], "0 RX": [50e9]}
    found = compare(
        Side("a", before.report, BEGUN_S, rates=rates, rated_s=600.0),
        Side("b", after.report, BEGUN_S, rates=changed, rated_s=MIN_OBSERVED_S),
    )
    traffic = [d for d in found.differences if d.where == "GPU 0" and d.matters]
    assert [d.what for d in traffic] == ["NVLink TX"] * matters
    assert all(d.note == "median of 10 min → median of 60 s" for d in traffic)


@pytest.mark.parametrize(("over_s", "whole_steps", "matters"), [(2.0, False, False), (5.4, True, True)])
def test_traffic_of_a_part_of_a_step_does_not_matter(node, over_s, whole_steps, matters):
    def change(report: dict) -> None:
        for gpu in report["gpus"]:
            rate = gpu["nvlink"]["mean_tx_bytes_per_s"] / 2
            gpu["nvlink"].update(mean_tx_bytes_per_s=rate, mean_over_s=over_s, mean_is_step=whole_steps)

    before, after = sides(node, change)
    rates = {f"{gpu['index']} TX": [gpu["nvlink"]["mean_tx_bytes_per_s"]] for gpu in before.gpus}
    found = compare(replace(before, rates=rates, rated_s=120.0), after)
    assert found.matters == matters
    traffic = [d for d in found.differences if d.what == "NVLink TX"]
    assert len(traffic) == len(before.gpus)
    note = f"median of 2 min → mean of {over_s:.0f} s{'' if matters else '; too short to judge'}"
    assert {d.note for d in traffic} == {note}


def test_a_gpu_that_moved_to_another_number_is_still_compared(node):
    def swap(report: dict) -> None:
        gpus = report["gpus"]
        gpus[0], gpus[1] = gpus[1], gpus[0]
        gpus[0]["index"], gpus[1]["index"] = 0, 1

    found = compare(*sides(node, swap))
    assert [d.what for d in found.differences if d.matters] == ["gpu order"]
    assert "GPU 0 is now 1" in to_text(found)


def test_different_nodes_compare_states_but_not_counts(node):
    def other(report: dict) -> None:
        for gpu in report["gpus"]:
            gpu["uuid"] = gpu["uuid"].replace("GPU-", "GPU-f")
        add_errors(505)(report)

    found = compare(*sides(node, other))
    assert found.pairing.same_node is False
    assert not found.matters
    assert "lifetime counts of different nodes" in to_text(found)


@pytest.mark.parametrize("fallen", [False, True])
def test_redacted_reports_are_of_one_node_if_the_counters_continue(node, fallen):
    for gpu in node["gpus"]:
        for link in gpu["links"]:
            link["tx_bytes_total"] = link["rx_bytes_total"] = 10**9

    def change(report: dict) -> None:
        for gpu in report["gpus"]:
            for link in gpu["links"]:
                link["tx_bytes_total"] += -5 if fallen else 5

    found = compare(*sides(node, change, redacted=True))
    assert found.pairing.same_node is (None if fallen else True)


def test_findings_that_came_and_went(bench):
    b = bench("hgx-a100-4", "link-down")
    healthy = report_of(b.run(3))
    broken = report_of(b.run(20))
    came = compare(Side("a", healthy, BEGUN_S), Side("b", broken, BEGUN_S + 20))
    assert came.matters
    assert any(d.what == "finding: link-down" and d.after == "critical" for d in came.differences)
    went = compare(Side("a", broken, BEGUN_S), Side("b", healthy, BEGUN_S + 20))
    assert any(d.what == "finding: link-down" and d.severity == Severity.NOTICE for d in went.differences)


@settings(max_examples=40)
@given(st.data())
def test_whatever_is_missing_no_comparison_fails_and_unknown_is_never_equal_to_a_value(data):
    """Remove any keys of one side: what is then unknown is listed, and nothing of it counts as equal."""
    after = deepcopy(SMALL)
    places = [after["node"], after["gpus"][0], after["gpus"][0]["links"][0]]
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(places))
        if at:
            key = data.draw(st.sampled_from(sorted(at)))
            if key not in ("index", "uuid", "pci_bus_id"):
                at[key] = None
    found = compare(Side("a", SMALL, BEGUN_S), Side("b", after, BEGUN_S))
    assert to_text(found)
    assert json.loads(compared_json(found))["matters"] == found.matters


SMALL: dict[str, Any] = {
    "node": {"driver_version": "570.1", "hostname": "a"},
    "gpus": [
        {
            "index": 0,
            "uuid": "GPU-1",
            "pci_bus_id": "1",
            "name": "H100",
            "state": "ok",
            "pcie": {"width": 16, "gen": 5},
            "nvlink": {"links_present": 1, "tx_bytes_per_s": 1.0},
            "links": [
                {
                    "index": 0,
                    "state": "up",
                    "speed_bytes_per_s": 1.0,
                    "remote": {"kind": "switch"},
                    "errors": {"crc": {"total": 3}},
                }
            ],
        }
    ],
    "matrix": {"labels": ["GPU0"], "cells": [["X"]]},
    "findings": [],
}


def test_a_reset_is_said_even_if_no_counter_fell(node):
    def change(report: dict) -> None:
        report["gpus"][3]["uptime_s"] = 600.0
        report["gpus"][3]["links"][7]["errors"]["replay"]["total"] = 600

    before = deepcopy(node)
    before["gpus"][3]["links"][7]["errors"]["replay"]["total"] = 505
    found = compare(*sides(before, change))
    [errors] = [d for d in found.differences if d.what == "errors: replay"]
    assert (errors.before, errors.after, errors.increase) == (505, 600, None)
    assert errors.note == "the counter was reset in between; 600 since"
    assert "reset: the driver initialised the GPU 10 min before the later side" in to_text(found)


def test_what_all_gpus_have_alike_is_one_line(node):
    def change(report: dict) -> None:
        for gpu in report["gpus"]:
            gpu["vbios"] = "99.00.00.00.00"

    found = compare(*sides(node, change))
    assert sum(d.what == "vbios" for d in found.differences) == 4
    [line] = [line for line in to_text(found).splitlines() if "VBIOS" in line and "99." in line]
    assert "GPUs 0-3" in line
    assert "1 difference that matters:" in to_text(found)


def test_people_read_words_and_ranges_of_links_instead_of_keys(bench):
    b = bench("dgx1-v100", "gpu-lost")
    before = report_of(b.run(3))
    found = compare(Side("a", before, BEGUN_S), Side("b", report_of(b.run(20)), BEGUN_S + 20))
    text = to_text(found)
    assert re.findall(r"\b(?!mlx5_)\w*[a-z]_[a-z]\w*", text) == []
    assert not {"xid-gpu", "gpu-lost"} & set(re.findall(r"[\w-]+", text))
    assert "GPU 3 links 0-5" in text
    assert re.search(r"^\d differences that matter, and what only one side could read:$", text, re.MULTILINE)
    listed = {d["what"] for d in json.loads(compared_json(found))["differences"]}
    assert listed >= {"finding: gpu-lost", "errors: replay"}, "JSON has the keys"
    assert not [key for key in (*FIRMWARE, *INFORMATION) if "_" in words(key)]


def test_when_a_counter_rose_first_and_when_a_finding_began(node):
    def change(report: dict) -> None:
        add_errors(505)(report)
        report["findings"].append(
            {"rule": "link-chronic", "gpu": 3, "link": 7, "severity": "critical", "summary": "it fails",
             "since": "2026-09-22T07:45:00Z"}
        )  # fmt: skip

    before, after = sides(node, change)
    found = compare(before, replace(after, rose_s={(3, 7, "replay"): BEGUN_S + 60.0}))
    began = {d.what: d.began_s for d in found.differences}
    assert began == {"errors: replay": BEGUN_S + 60.0, "finding: link-chronic": 1790063100.0}
    assert "first at 2026-09-21 " in to_text(found)
    [errors] = [d for d in json.loads(compared_json(found))["differences"] if d["increase"]]
    assert errors["began"] == "2026-09-21T14:14:20.000Z"
