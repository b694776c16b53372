"""Values that are older than expected: the last ones everywhere, dim and with their age, or in no sum."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from nvltop.model import Call
from nvltop.report import tables
from nvltop.report.csv import TITLES, to_csv
from nvltop.report.phrases import nvlink_line
from nvltop.tui.render import header, meters
from nvltop.tui.render.row import text_of
from nvltop.tui.render.tab_row import tab_row
from nvltop.tui.tabs.main import gpus, notes

AGE_S = 42.0


def aged(view, *old: int):
    """Let the last readings of GPUs be 42 s old; those of all if no GPU is named."""
    frame = view.frame
    if not old:
        frame = replace(frame, tick=replace(frame.tick, worker="paused"))
    shown = [
        replace(g, stale=True, age_s=dict.fromkeys(g.age_s, AGE_S)) if not old or g.gpu.index in old else g
        for g in frame.gpus
    ]
    view.frame = replace(frame, gpus=tuple(shown))
    view.gpus = view.frame.gpus
    return view


def by_caption(view) -> dict[str, meters.BarMeter]:
    return {meter.caption: meter for meter in meters.meters(view)}


@pytest.mark.parametrize("width", [80, 120, 200])
def test_rows_and_sums_of_a_node_that_is_not_read_are_the_last_values(view, width):
    now = view("dgx-h100", meters=("cpu", "memory", "tx", "power"))
    before = by_caption(now)
    v = aged(view("dgx-h100", meters=("cpu", "memory", "tx", "power")))
    after = by_caption(v)
    assert [(m.text, m.share, m.old) for m in after.values()] == [
        (m.text, m.share, True) for m in before.values()
    ]
    assert not any(m.old for m in before.values())
    shown = [text_of(row) for row in header.header(v, width)]
    assert "144/144 " in shown[1]
    assert "42s ago" in shown[1]
    assert "?" not in shown[1].partition("NVLink")[2] + shown[2]
    assert "42s old" in text_of(tab_row(v, width, ("Main",), 0)[0])
    # What is drawn is dim in rows and meters alike.
    roles = {role for text, role in gpus.table(v, width, 9, 0)[2] if "18/18" in text}
    assert roles == {"dim"}
    (drawn,) = [role for text, role in meters.bar(after["TX"], 40, v.glyphs) if "TB/s" in text]
    assert drawn == "dim"


def test_what_one_gpu_had_is_in_no_sum_of_now(view):
    full, v = by_caption(view("dgx-h100", meters=("tx", "power"))), None
    v = aged(view("dgx-h100", meters=("tx", "power")), 3)
    part = by_caption(v)
    assert all(m.text.endswith("+?") and not m.old for m in part.values())
    assert part["Pwr"].text != full["Pwr"].text + "+?"
    assert "126+?/144 links up" in nvlink_line(v.frame)


def test_a_node_without_nvlink_has_the_age_of_its_data(view):
    v = aged(view("rtx4090-pair"))
    assert "data 42s old" in text_of(tab_row(v, 120, ("Main",), 0)[0])


def test_reports_have_the_age_of_old_rows(view):
    v = aged(view("dgx-h100"), 3)
    table = tables.gpu_table(v.frame.gpus).splitlines()
    assert [line.split()[0] for line in table if "(read 42s ago)" in line] == ["3"]
    rows = csv.DictReader(to_csv(v.frame).splitlines(), TITLES)
    ages = {row["gpu"]: float(row["age_s"]) for row in rows}
    assert ages["3"] == AGE_S
    assert ages["2"] < 1.0


def test_a_call_that_hangs_makes_no_sum_of_old_values_current(view):
    v = aged(view("dgx-h100"))
    call = Call("gauges", "nvmlDeviceGetTemperature", 3, v.now_s - AGE_S)
    v.frame = replace(v.frame, tick=replace(v.frame.tick, worker="stuck", calls=(call,)))
    assert by_caption(v)["TX"].old
    assert "42s ago" in nvlink_line(v.frame)


def test_no_fault_is_denied_while_nothing_is_read(view):
    v = view("rtx3090-pair")
    assert notes._title(v.frame).endswith("NO FAULT FOUND")
    assert notes._title(aged(v).frame).endswith("FAULTS UNKNOWN: SEE HEALTH")
