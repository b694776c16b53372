"""What the check of the load says of several jobs."""

from __future__ import annotations

from dataclasses import replace

from nvltop.analysis.health import saturation
from nvltop.analysis.health.history import RuleHistory
from nvltop.analysis.health.rule import RuleInput


def test_jobs_that_are_alike_have_one_headline_with_their_gpus(watched):
    """Eight of them gave `Measuring: NVLink at 55% of NCCL max` eight times."""
    frame = watched("h100-four").run(8)
    judged = frame.judgements[0]
    alone = [
        replace(
            judged, job=str(i), gpus=(uuid,), gpu=None, state="may-limit", step_s=None, at_limit=0.4, busy=0.4
        )
        for i, uuid in enumerate(judged.gpus)
    ]
    seen = RuleInput(
        frame.inventory, frame.gpus, frame.tick, frame.cost, (), {}, RuleHistory(), judgements=alone
    )
    assert saturation.evaluate(seen)[1] == "GPU 0-3: NVLink may limit the job 40% of the time"
