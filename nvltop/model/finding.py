"""Findings of the health rules, and the outcome of each group of rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NewType

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


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a health rule says."""

    rule: str
    severity: Severity
    gpu: str | None
    """UUID."""
    link: int | None
    summary: str
    """One full sentence: what is wrong and what it means."""
    evidence: Mapping[str, object] = field(default_factory=dict)
    """What the rule saw: numbers before and after, the window, the age of the data."""
    next_step: str = ""
    source: str = ""
    """Whose threshold or meaning it is, such as `DCGM health watch`; `nvltop` for our own."""
    confidence: str = "certain"
    """`certain`, `likely`, `possible`."""
    nic: str | None = None
    """Name of the NIC that it is about; `link` is then the port, where it has several."""
    began_s: float | None = None
    """Unix time from which on the rule has said so."""
    ended_s: float | None = None
    """Unix time at which it stopped; None while it lasts."""
    headline: str = ""
    """The finding in at most `MAX_HEADLINE` characters, for rows and the header; the rules always set it."""
    key: FindingKey = NO_KEY
    """Identifies the finding. A finding about several links of a GPU keeps its key when a link joins or
    leaves."""
    caused_by: FindingKey | None = None
    """Key of the root finding that this one follows from; None for a finding that stands on its own."""

    def __post_init__(self) -> None:
        """Set the key where the caller gave none."""
        if self.key == NO_KEY:
            object.__setattr__(self, "key", finding_key(self.rule, self.gpu, self.link, self.nic))


@dataclass(frozen=True, slots=True)
class Pending:
    """A condition that is seen now and is not a finding yet, because its delay has not passed."""

    finding: Finding
    """The finding that it becomes, with the severity that it gets then."""
    wait_s: float
    """Seconds until then at the earliest; 0 where only more readings that agree are missing."""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one family of rules, whether it found something or not."""

    name: str
    """Such as `links`, `link errors`, `fabric`."""
    outcome: str
    """`problem`: a finding stands. `pending`: a condition that would be a finding is seen, its delay has not
    passed. `unknown`: the values could not be read. `fine`: none of the conditions was seen while nvltop
    watched. `n/a`: the node has nothing of the kind."""
    detail: str
    """The worst finding, what is pending and for how long more, why it is unknown, or what was examined."""
    watched_s: float = 0.0
    """For how many seconds the family has been examined without a gap."""
