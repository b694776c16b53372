"""Findings of the health rules, and the outcome of each group of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final, NewType

from nvltop.frozen import frozen
from nvltop.model.severity import Severity

MAX_HEADLINE: Final = 45
"""Characters of a headline: the WHAT column of the Health tab at 80 columns has 46."""


FindingKey = NewType("FindingKey", str)
"""Identifies a finding while it lasts, such as `link-down/GPU-5b…/7`."""
NO_KEY: Final = FindingKey("")
"""Default of `Finding.key`: derive it from the rule, GPU, link and NIC."""


def finding_key(
    rule: str, subject: str | None = None, link: int | None = None, nic: str | None = None
) -> FindingKey:
    """Return the key of a finding; `subject` is the GPU, or the identity of a finding that may move."""
    return FindingKey("/".join(str(part) for part in (rule, subject, link, nic) if part is not None))


@frozen
class Finding:
    """A finding of a health rule."""

    rule: str
    severity: Severity
    gpu: str | None
    """UUID."""
    link: int | None
    summary: str
    """One full sentence: what is wrong and what it means."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    """Values behind the finding: numbers before and after, the window, the age of the data."""
    next_step: str = ""
    source: str = ""
    """Origin of the threshold or of the meaning, such as `DCGM health watch`; `nvltop` for its own."""
    confidence: str = "certain"
    """`certain`, `likely` or `possible`."""
    nic: str | None = None
    """Name of the NIC; `link` is then the port number if it has several ports."""
    began_s: float | None = None
    """Unix time at which the condition began."""
    ended_s: float | None = None
    """Unix time at which the condition ended; None while it lasts."""
    headline: str = ""
    """The finding in at most `MAX_HEADLINE` characters, for rows and the header; the rules always set it."""
    key: FindingKey = NO_KEY
    """Identifies the finding. A finding about several links of a GPU keeps its key when a link joins or
    leaves."""
    caused_by: FindingKey | None = None
    """Key of the root finding that this finding follows from; None for a root finding."""

    def __post_init__(self) -> None:
        """Set the key where the caller gave none."""
        if self.key == NO_KEY:
            object.__setattr__(self, "key", finding_key(self.rule, self.gpu, self.link, self.nic))


@frozen
class Pending:
    """A condition that is present now and is not a finding yet because its delay has not passed."""

    finding: Finding
    """The finding that it will become, with its future severity."""
    wait_s: float
    """Shortest time in seconds until then; 0 if only further readings are needed."""


@frozen
class Check:
    """Outcome of one group of rules."""

    name: str
    """Name of the group, such as `links`, `link errors` or `fabric`."""
    outcome: str
    """`problem`: there is a finding. `pending`: a condition is present whose delay has not passed. `unknown`:
    the values could not be read. `fine`: no condition was present while nvltop watched. `n/a`: does not apply
    to this node."""
    detail: str
    """The worst finding, the pending condition with its remaining delay, the reason why it is unknown,
    or what was checked."""
    watched_s: float = 0.0
    """Seconds for which the group has been checked without a gap."""
