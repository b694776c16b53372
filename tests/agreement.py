"""Checks that all outputs agree on the use of NVLink."""

from __future__ import annotations

import re

from nvltop.analysis.verdict import VERDICT_BY_STATE, VERDICT_IDS
from nvltop.export.node import families
from nvltop.model import MAX_HEADLINE, Frame, known
from nvltop.report.activity import describe, describe_briefly, judgement_of
from nvltop.report.check import OK, to_check
from nvltop.report.json import to_json
from nvltop.report.text import to_text
from nvltop.tui.render import header
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState

DENIES = ("no bottleneck", "NVLink works", "of speed")
COSTS = ("limits", "limits-part", "may-limit")


def view_of(frame: Frame) -> ViewState:
    return ViewState(frame)


def contradictions(frame: Frame) -> list[str]:
    """Return the contradictions between outputs; empty if all agree."""
    found: list[str] = []

    def expect(fits: bool, what: str) -> None:
        if not fits:
            found.append(what)

    verdict, top = frame.verdict, frame.verdict.judgement
    expect(verdict.id in VERDICT_IDS, f"id {verdict.id}")
    expect(0 < len(verdict.headline) <= MAX_HEADLINE, f"headline {verdict.headline!r}")
    everything = f"{verdict.headline} {verdict.summary}"
    expect(not any(word in everything for word in DENIES), everything)
    if top and verdict.id not in ("degraded", "pcie"):
        expect(VERDICT_BY_STATE[top.state] == verdict.id, f"{top.state} is reported as {verdict.id}")
    critical = [f for f in frame.findings if f.severity == "critical"]
    row = header._verdict(frame)
    expect(row[0] == verdict.headline, "the header has another headline")
    expect(not (critical and row[1] == "ok"), "green beside something critical")
    if any(f.nic is None and f.rule != "driver-stuck" for f in critical) and top:
        expect(verdict.id == "degraded", f"{verdict.id} beside {critical[0].rule}")
    rows = [text_of(r) for r in header.header(view_of(frame), 80)]
    expect(verdict.headline in rows[2], f"{verdict.headline!r} is cut in {rows[2]!r}")

    given = to_json(frame)
    expect(given["verdict"]["id"] == verdict.id, "JSON has another id")
    expect(given["verdict"]["headline"] == verdict.headline, "JSON has another headline")
    expect(len(given["judgements"]) == len(frame.judgements), "judgements are missing from the JSON")
    text = to_text(frame)
    expect(verdict.headline in text and verdict.summary in text, "--once has another verdict")
    line, code = to_check(frame, 60.0)
    if code == OK and verdict.headline:
        expect(verdict.headline in line, f"--check says {line}, not {verdict.headline!r}")
    values = {(f.metric.name, *sorted(labels.items())): v for f in families(frame) for labels, v in f.samples}
    shown = [key for key, v in values.items() if key[0] == "verdict" and v]
    expect(shown == [("verdict", ("verdict", verdict.id))], f"metrics say {shown}")

    for activity in frame.activity:
        judged = judgement_of(frame, activity)
        assert judged is not None
        said = describe(frame, activity)
        expect(said in text, "--once has other words for a job than the Processes tab")
        limit = activity.limit if known(activity.limit) else None
        if limit == "nvlink":
            expect(judged.state in ("limits", "limits-part"), f"limit nvlink, state {judged.state}")
        if limit == "none":
            expect(judged.state in ("below", "light", "hidden"), f"limit none, state {judged.state}")
        if judged.state in ("limits", "limits-part"):
            expect(bool(activity.limits) and limit not in (None, "none"), "limited, but no limit is reported")
        if judged.window_s and known(judged.busy):
            expect(activity.communication == judged.busy, "two shares of communication")
            expect(
                not known(judged.at_limit) or judged.at_limit <= judged.busy + 1e-9,
                "more at the limit than busy",
            )
            shares = set(re.findall(r"data (\S+%) of the time", said))
            expect(len(shares) <= 1, f"several shares: {said}")
        if known(judged.at_limit) and known(judged.at_limit_most):
            expect(judged.at_limit <= judged.at_limit_most, "bounds cross")
        if judged.state == "silent":
            expect("of it with traffic" not in describe_briefly(frame, activity), "stale share")
    load = next((c for c in frame.checks if c.name == "load"), None)
    if load and load.outcome == "fine" and any(j.state in COSTS for j in frame.judgements):
        expect("no link at its limit" not in load.detail, f"load is reported as {load.detail!r}")
    for finding in frame.findings:
        if finding.rule == "saturated":
            expect(
                any(j.state in (*COSTS, "silent") for j in frame.judgements),
                "saturated, and no job is limited",
            )
    return found
