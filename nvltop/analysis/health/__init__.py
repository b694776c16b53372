'''Health rules: what is wrong on the node, why nvltop thinks so, and what to do about it.

The engine (engine.py) calls each rule once a second with a `RuleInput`. A rule is a pure function that
returns `Claim`s: conditions that it sees at this moment. The engine decides when a claim has held for long
enough to be a finding (debounce.py) and which finding follows from which (causes.py).

How to add a rule, with the id `gpu-hot`:

1. Write a module here, or extend the one whose group it belongs to. `evaluate` returns the claims and, for
   the case that there are none, what was checked::

       def evaluate(rule_input: RuleInput) -> RuleResult:
           """Check the temperatures of all GPUs."""
           claims = [claim for g in rule_input.gpus for claim in _hot(rule_input, g)]
           return claims, "temperatures of all GPUs"

       RULE_GROUP: Final = RuleGroup("temperatures", ("gpu-hot",), evaluate)

   A value that could not be read is a `Missing` and is never a reason for a claim. Return a `Missing`
   instead of the text if nothing could be checked.
2. Add a new group to `RULE_GROUPS`, in the order in which the Health tab shows the checks.
3. State facts about earlier moments (`RuleHistory`) only if a single moment does not suffice; delays and
   repeated readings belong into `Claim.escalations`.
4. If another finding explains this one, add a `Relation` in causes.py.
5. Add an alert to export/alerts.yml, or the id to `INFORMATION` in tests/export/test_files.py if the rule
   never gets worse than `info`.
6. Add a case in which the rule must fire, and a near miss, to tests/analysis/health/test_fires.py. The
   healthy nodes in test_quiet.py must stay without findings.
'''

from __future__ import annotations

from typing import Final

from nvltop.analysis.health import (
    ber,
    driver_access,
    errors,
    events,
    fabric,
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
    self_checks.RULE_GROUP,
    driver_access.DESIGN,
)
"""All rule groups, in the order of the checks."""
