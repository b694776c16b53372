"""All texts about a job give its step alike."""

from __future__ import annotations

import re

import pytest

from nvltop.report.text import to_text
from nvltop.tui.render import header
from nvltop.tui.render.row import text_of
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main import notes

STEP = re.compile(r"\bstep (?:was )?([\d.]+ ?s)\b|\b([\d.]+ ?s) step\b")


@pytest.mark.parametrize("scenario", ["training", "hang"])
def test_the_step_of_a_job_is_the_same_text_everywhere(bench, scenario):
    frame = bench("dgx-h100", scenario).run(75.0 if scenario == "hang" else 40.0)
    view = ViewState(frame=frame, gpus=frame.gpus, now_s=frame.tick.mono_s)
    shown = [frame.verdict.summary, frame.verdict.headline, to_text(frame)]
    shown += [text_of(row) for row in header.header(view, 200)]
    shown += ["".join(text for text, _ in line) for line in notes._make_lines(view, 200, brief=False)]
    shown += [text for f in frame.findings for text in (f.headline, f.summary)]
    steps = {one or other for text in shown for one, other in STEP.findall(text)}
    assert steps == {"2 s"}
