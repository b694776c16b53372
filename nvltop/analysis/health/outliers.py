"""Links whose lifetime error count stands out among the other links (rule link-outlier).

A lifetime count above zero says little by itself: nobody knows over which time it came. One link with
hundreds where all others of the node have none does say something: such a link failed five days later
(marin-community/marin issue 8934).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, NamedTuple

from nvltop.analysis.errors import FULL
from nvltop.analysis.link_states import errors
from nvltop.model import ErrorCount, GpuFrame, known

OUTLIER_KINDS: Final = (
    "link_recovery",
    "link_recovery_successful",
    "recovery",
    "replay",
    "rcv",
    "symbol",
    "crc",
    "crc_flit",
    "crc_data",
)
"""Kinds of counters that healthy links leave near zero; of several that stand out the first speaks."""
MIN_LINKS: Final = 4
"""Links of a model that are needed to say what is usual among them."""
MIN_OUTLIER_COUNT: Final = 50
MIN_RATIO_TO_MEDIAN: Final = 20
"""How many times the median an outlier has at least."""
MIN_RATIO_TO_OTHERS: Final = 10
"""How many times the largest count of the other links an outlier has at least."""
MAX_OUTLIER_SHARE: Final = 0.05
"""Share of the links that may be outliers: if more are, it is no matter of single links."""
MAX_OUTLIERS: Final = 8
"""Findings at most, the largest counts first."""


class Outlier(NamedTuple):
    """A link whose count stands out."""

    gpu: str
    """UUID."""
    link: int
    kind: str
    total: int
    rest: int
    """The largest count of the other links."""


@dataclass(slots=True)
class Outliers:
    """Finds outliers again only when a counter has changed, which is seldom."""

    _seen: tuple[object, ...] = ()
    _found: list[Outlier] = field(default_factory=list)

    def find(self, gpus: Sequence[GpuFrame]) -> list[Outlier]:
        """Return the links that stand out among those of the same model."""
        now = tuple(errors(g.links) for g in gpus)
        if len(now) != len(self._seen) or any(a is not b for a, b in zip(now, self._seen, strict=True)):
            self._seen, self._found = now, _find(gpus)
        return self._found


def _find(gpus: Sequence[GpuFrame]) -> list[Outlier]:
    by_model: dict[object, list[GpuFrame]] = {}
    for g in gpus:
        by_model.setdefault(g.gpu.name, []).append(g)
    found: dict[tuple[str, int], Outlier] = {}
    for alike in by_model.values():
        for kind in OUTLIER_KINDS:
            for outlier in _outliers(alike, kind):
                found.setdefault((outlier.gpu, outlier.link), outlier)
    return sorted(found.values(), key=lambda o: -o.total)[:MAX_OUTLIERS]


def _outliers(gpus: Sequence[GpuFrame], kind: str) -> list[Outlier]:
    totals = [
        (total, g, link)
        for g in gpus
        for link, kinds in errors(g.links).items()
        if kind in kinds and (total := _settled(kinds[kind])) is not None
    ]
    if len(totals) < MIN_LINKS or max(t[0] for t in totals) < MIN_OUTLIER_COUNT:
        return []
    least = max(MIN_OUTLIER_COUNT, MIN_RATIO_TO_MEDIAN * median(t[0] for t in totals))
    out = sorted((t for t in totals if t[0] >= least), key=lambda t: -t[0])
    rest = max((t[0] for t in totals if t[0] < least), default=0)
    if (
        not out
        or len(out) > max(1, MAX_OUTLIER_SHARE * len(totals))
        or out[-1][0] < MIN_RATIO_TO_OTHERS * rest
    ):
        return []
    return [Outlier(g.gpu.uuid, link, kind, total, rest) for total, g, link in out]


def _settled(error: ErrorCount) -> int | None:
    """Return a count without what rose lately, which the rules about increases judge."""
    if not known(error.total) or error.total in FULL:
        return None
    rose = error.since_start if error.minutes and known(error.since_start) else 0
    return error.total - rose
