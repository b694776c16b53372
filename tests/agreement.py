"""Checks that all outputs agree on the use of NVLink."""

from __future__ import annotations

import re

from nvltop.analysis import verdict_text
from nvltop.analysis.verdict import VERDICT_BY_STATE, VERDICT_IDS
from nvltop.export.node import families
from nvltop.model import MAX_HEADLINE, Frame, Judgement, known
from nvltop.report.activity import describe, describe_briefly, judgement_of
from nvltop.report.check import OK, to_check
from nvltop.report.json import to_json
from nvltop.report.text import to_text
from nvltop.tui.render import header
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState

DENIES = ("no bottleneck", "NVLink works", "of speed")
COSTS = ("limits", "limits-part", "may-limit")


MEAN_ERROR = 0.06
"""Relative error of the mean beside shares that are up to ten minutes older; a state allows 5 %."""
SHARE_ERROR = 0.01
"""Error of the share of the time with traffic: bursts at the edges of the window."""
SILENCE_SHARE = 0.15
"""Share of the rate of the bursts up to which traffic between them counts as none."""


def level_contradictions(j: Judgement, said: str) -> list[str]:
    """Return how the numbers of a job with traffic contradict each other; `said` are its words on the screen.

    Level, reached rate and NCCL max are those of the same links over the same time, so that one follows from
    the other two, and the mean from the level and the share of the time with traffic.
    """
    found = []
    level, reached, most, whole = j.level, j.reached_bytes_per_s, j.practical_bytes_per_s, j.gpu_bytes_per_s
    if known(most) and known(level) != known(reached):
        found.append(f"level {level}, reached {reached}")
    if known(level) and known(reached) and known(most) and abs(level - reached / most) > 1e-9:
        found.append(f"level {level:.3f}, reached {reached / most:.3f} of NCCL max")
    if known(reached) and known(whole):
        if j.links == "gpu" and most and abs(whole - reached) > 0.02 * reached:
            found.append(f"reached {reached:.3g}, the GPU {whole:.3g}")
        if whole < 0.98 * reached:
            found.append(f"{reached:.3g} over some of the links, {whole:.3g} over all of them")
    if known(level) and known(j.busy) and known(j.mean) and j.busy:
        least = j.busy * level * (1 - MEAN_ERROR) - SHARE_ERROR
        highest = (j.busy + SILENCE_SHARE * (1 - j.busy)) * level * (1 + MEAN_ERROR) + SHARE_ERROR
        if not least <= j.mean <= highest:
            found.append(f"{j.busy:.3f} of the time at {level:.3f}, and {j.mean:.3f} on the mean")
    shown = re.search(r"at <?(\d+)% of NCCL max(?: on (the busiest GPU|the busiest pair))?", said)
    rates = re.search(r"([\d.]+) of ([\d.]+) GB/s (?:a GPU|on (the busiest GPU|the busiest pair))", said)
    if shown and rates:
        a, b = float(rates[1]), float(rates[2])
        half_a, half_b = (0.5 if v >= 100 else 0.05 if v >= 10 else 0.005 for v in (a, b))
        rounding = 0.0051 + (half_a + half_b * a / b) / b
        if abs(float(shown[1]) / 100 - a / b) > rounding:
            found.append(f"{shown[0]} beside {rates[0]}")
        if shown[2] != rates[3]:
            found.append(f"of other links: {shown[0]} beside {rates[0]}")
    if j.links == "pair" and shown and not shown[2]:
        found.append(f"of some links, without saying so: {shown[0]}")
    return found


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
    for j, entry in zip(frame.judgements, given["judgements"], strict=False):
        found += level_contradictions(j, verdict_text.summary(j, {}, {}))
        level, reached, most = (
            entry[key] for key in ("level_of_nccl_max", "reached_bytes_per_s", "nccl_max_bytes_per_s")
        )
        if level is not None and reached is not None and most is not None:
            expect(abs(level * most - reached) <= 1e-9 * most, f"JSON: {level} of {most}, {reached}")
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
        found += level_contradictions(judged, said)
        expect(activity.intensity == judged.level or judged.state == "unknown", "two levels of a job")
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
