"""The check of the load names the GPUs that could not be judged."""

from __future__ import annotations

from nvltop.analysis.health.history import RuleHistory
from nvltop.analysis.health.rule import RuleInput
from nvltop.analysis.health.saturation import evaluate
from nvltop.model import Judgement, Missing


def test_a_reason_that_holds_for_some_gpus_only_names_them(bench):
    """Where GPU 2 had lost its links, the check said "no link is up" below "8/12 links up"."""
    b = bench("h100-four")
    frame = b.run(3)
    uuids = [g.gpu.uuid for g in frame.gpus]
    for gpus, reason in (((uuids[2],), "GPU 2: no link is up"), (tuple(uuids), "no link is up")):
        found = (Judgement(None, gpus, "unknown", why="no link is up"),)
        rule_input = RuleInput(
            frame.inventory, frame.gpus, frame.tick, frame.cost, (), {}, RuleHistory(), judgements=found
        )
        assert evaluate(rule_input)[1] == Missing(reason)
