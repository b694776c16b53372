"""What a rule returns: a `Claim`, and when it becomes a finding.

A claim has two texts:

- `headline` fits one row at 80 columns: at most `MAX_HEADLINE` characters, the subject first, in NVIDIA's
  terms.
- `summary` is one full sentence without a full stop that can be understood without the headline.

A claim is stateless: the rule returns it each time it is called while the condition holds. `FindingTracker`
(debounce.py) measures for how long that has been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from nvltop.frozen import frozen
from nvltop.model import FindingKey, Severity, finding_key

HELD_PLACEHOLDER: Final = "{held}"
"""Placeholder in a headline or summary for how long the claim has held, such as `12 s`."""

DCGM: Final = "DCGM health watch"
XID_CATALOG: Final = "NVIDIA XID catalog"
NVLTOP: Final = "nvltop"
"""Source of thresholds that nvltop itself chose."""


@frozen
class Escalation:
    """A severity, and how long a claim must hold to reach it."""

    severity: Severity
    after_s: float = 0.0
    """Seconds for which the claim must have held."""
    readings: int = 1
    """Consecutive readings that must confirm the claim (see `Claim.read_s`)."""


INFO_ONLY: Final = (Escalation(Severity.INFO),)
"""For a claim that is information from the start and stays so."""
UNKNOWN_ONLY: Final = (Escalation(Severity.UNKNOWN),)
"""For a claim that something cannot be determined."""


@frozen
class Claim:
    """A condition that a rule sees at one moment, before debouncing."""

    rule: str
    """Rule id, such as `link-down`."""
    gpu: str | None
    """UUID of the GPU; None for a claim about several GPUs or the node."""
    headline: str
    """At most `MAX_HEADLINE` characters."""
    summary: str
    """One full sentence."""
    escalations: tuple[Escalation, ...]
    """From mild to severe; the claim has the severity of the last one whose delay has passed."""
    link: int | None = None
    nic: str | None = None
    """Device name of the NIC; `link` is then the port number if it has several ports."""
    read_s: float = 0.0
    """CLOCK_MONOTONIC of the reading behind the claim (`RuleInput.read_s`).

    With it, `Escalation.readings` counts readings; at 0, it counts calls of the rule."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    """What the rule saw: numbers, the window, the age of the data."""
    next_step: str = ""
    """What the reader can do, in the imperative."""
    source: str = NVLTOP
    """Origin of the threshold or of the meaning, such as `DCGM health watch`."""
    confidence: str = "certain"
    """`certain`, `likely` or `possible`."""
    began_s: float | None = None
    """Unix time of the cause if that is older than the claim."""
    identity: str | None = None
    """Replaces GPU, link and NIC in `key` if these may change while the claim lasts.

    Examples: all links of a GPU that are down; the GPU that differs from the others of a hung job."""
    cause: tuple[str, str | None] | None = None
    """Rule id and GPU of the claim that causes this one, if the rule knows it (see causes.py)."""
    lost_share: float = 0.0
    """Share of the NVLink bandwidth that is lost, 0 to 1; orders findings of the same severity."""

    @property
    def key(self) -> FindingKey:
        """Return what identifies the claim between calls, such as `link-down/GPU-5b…/7`."""
        if self.identity is not None:
            return finding_key(self.rule, self.identity)
        return finding_key(self.rule, self.gpu, self.link, self.nic)
