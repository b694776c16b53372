"""Health rules: what is wrong on the node, why nvltop thinks so, and what to do about it.

The engine (engine.py) evaluates all rules once a second. A rule is a pure function: it gets a `RuleInput`
and returns `Claim`s, the conditions that it sees at this moment. The engine decides when a claim has held for
long enough to be a finding (debounce.py) and which finding is the cause of another (causes.py).

To add a rule, for example `gpu-hot`:

1. Write a module in this folder, or extend the module whose group the rule belongs to::

       from typing import Final

       from nvltop.analysis.health.claim import Claim, Escalation
       from nvltop.analysis.health.gpu_names import gpu_name
       from nvltop.analysis.health.rule import RuleGroup, RuleInput, RuleResult
       from nvltop.model import GpuFrame, Severity, first_missing, known

       MAX_TEMPERATURE_C: Final = 90.0

       def evaluate(rule_input: RuleInput) -> RuleResult:
           '''Check the temperature of all GPUs.'''
           gpus = rule_input.readable_gpus
           values = [g.gauges.temperature_c for g in gpus]
           hot = [g for g, c in zip(gpus, values, strict=True) if known(c) and c > MAX_TEMPERATURE_C]
           return [_hot(rule_input, g) for g in hot], first_missing(values) or "temperature of all GPUs"

       def _hot(rule_input: RuleInput, g: GpuFrame) -> Claim:
           return Claim(
               rule="gpu-hot",
               gpu=g.gpu.uuid,
               headline=f"{gpu_name(g)} is too hot",
               summary=f"{gpu_name(g)} is hotter than {MAX_TEMPERATURE_C:.0f} C",
               escalations=(Escalation(Severity.WARNING, after_s=10.0, readings=3),),
               read_s=rule_input.read_s(g, "gauges"),
               evidence=rule_input.evidence(g, "gauges", temperature_c=g.gauges.temperature_c),
               next_step="Check the fans",
           )

       RULE_GROUP: Final = RuleGroup("temperature", ("gpu-hot",), evaluate, longest_delay_s=10.0)

   The second result is the text of the check if there is no claim. A value that could not be read is
   `Missing`: it must not cause a claim, and as the second result it makes the check unknown.
2. Add a new group to `RULE_GROUPS`. Their order is the order of the checks on the Health tab.
3. If the rule needs facts about earlier moments, keep them in `RuleHistory` (history.py). Delays and repeated
   readings do not need that: `Escalation` covers them.
4. If everything that the group looks at rarely changes, list it in `RuleGroup.depends_on`: it is then not
   evaluated again each second. Leave that out in case of doubt, since a finding would be missed.
5. If other findings can cause this one, add a `Relation` to causes.py.
6. Add an alert to nvltop/export/alerts.yml. If the rule is never worse than `info`, add its id to
   `INFORMATION` in tests/export/test_files.py instead.
7. Add a case in which the rule must fire and a near miss to tests/analysis/health/test_fires.py. The healthy
   nodes of test_quiet.py must stay without findings.
8. A new group adds a row to the Health tab: delete the files of tests/tui/screens that differ, run
   tests/tui/test_screens.py to write them again, and read the difference.
"""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health import (
    ber,
    driver_access,
    errors,
    events,
    fabric,
    firmware,
    gpus,
    job,
    links,
    log_faults,
    nics,
    p2p,
    pcie_link,
    repairs,
    saturation,
    self_checks,
)
from nvltop.analysis.health.rule import RuleGroup

RULE_GROUPS: Final[tuple[RuleGroup, ...]] = (
    gpus.PRESENCE,
    driver_access.RULE_GROUP,
    driver_access.UNREAD,
    links.RULE_GROUP,
    errors.RULE_GROUP,
    ber.RULE_GROUP,
    fabric.RULE_GROUP,
    p2p.RULE_GROUP,
    events.RULE_GROUP,
    log_faults.RULE_GROUP,
    repairs.RULE_GROUP,
    gpus.CLOCKS,
    pcie_link.RULE_GROUP,
    nics.RULE_GROUP,
    saturation.RULE_GROUP,
    job.RULE_GROUP,
    firmware.RULE_GROUP,
    self_checks.RULE_GROUP,
    driver_access.DESIGN,
)
"""All rule groups, in the order of the checks."""
