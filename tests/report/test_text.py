"""The text report: what it says beside the tables."""

from __future__ import annotations

from dataclasses import replace

from nvltop.model import NOT_READ, Missing, Processes, known
from nvltop.report.text import to_text

ADVICE = "use --for 60 to see the step of the job"


def test_processes_that_could_not_be_read_have_a_reason(bench):
    """Without one it looked as if no process used a GPU."""
    frame = bench("h100-two").run(2.0)
    refused = Processes((), unread=Missing("no permission"))
    assert "processes of some GPUs unknown: no permission" in to_text(replace(frame, processes=refused))
    assert "processes unknown: hung" in to_text(replace(frame, processes=Missing("hung")))
    assert "processes" not in to_text(replace(frame, processes=NOT_READ))


def test_the_way_to_see_a_step_is_not_given_beside_a_step(bench):
    b = bench("h100-two")
    b.interval_s = 0.25
    frame = b.run(20.0)
    while not any(known(a.step) for a in frame.activity):
        frame = b.run(1.0)
    judged = frame.verdict.judgement
    assert judged is not None
    # The step of a job is known before its shares are those of whole steps.
    early = replace(
        frame, verdict=replace(frame.verdict, judgement=replace(judged, step_s=None), watched_s=26)
    )
    assert ": step " in to_text(early)
    assert ADVICE not in to_text(early)
    assert ADVICE in to_text(replace(early, activity=()))
