"""Links whose lifetime error count is far above that of the other links (rule link-outlier).

A lifetime count above zero says little by itself, because the time over which it accumulated is unknown. A
link with hundreds of errors on a node whose other links have none is suspicious: such a link failed five
days later (marin-community/marin issue 8934).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Final, NamedTuple, TypeAlias

from nvltop.analysis.errors import SATURATED
from nvltop.analysis.link_states import ErrorsByLink, errors_by_link
from nvltop.frozen import mutable
from nvltop.median import median
from nvltop.model import ErrorCount, GpuFrame, known, or_none

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
"""Kinds of counters that stay near zero on healthy links, in order of precedence for a link with several."""
MIN_LINKS: Final = 4
"""Number of links of a model below which none can be an outlier."""
MIN_OUTLIER_COUNT: Final = 50
"""Count below which a link is not an outlier."""
MIN_RATIO_TO_MEDIAN: Final = 20
"""Multiple of the median count below which a link is not an outlier."""
MIN_RATIO_TO_OTHERS: Final = 10
"""Multiple of the largest count of the other links below which a link is not an outlier."""
MAX_OUTLIER_SHARE: Final = 0.05
"""Share of the links above which high counts are common and none of them is an outlier."""
MAX_OUTLIERS: Final = 8
"""Maximum number of outliers that are reported, the largest counts first."""


class Outlier(NamedTuple):
    """A link with an unusually high count."""

    gpu: str
    """UUID."""
    link: int
    kind: str
    total: int
    """Count that was compared, see `settled_count`."""
    rest: int
    """Largest count of the other links."""


Settled: TypeAlias = "dict[str, list[tuple[int, int, ErrorCount]]]"
"""The counts of a GPU that rules compare, see `settled_count`, each with its link and counter, by kind."""


class SettledErrors:
    """The counts of each GPU that rules compare; the same object until one of them changes."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[ErrorsByLink, Settled]] = {}

    def by_model(self, gpus: Sequence[GpuFrame]) -> list[list[tuple[GpuFrame, Settled]]]:
        """Return the GPUs of each model, each with its counts of the kinds in `OUTLIER_KINDS`."""
        models: dict[object, list[tuple[GpuFrame, Settled]]] = {}
        for g in gpus:
            models.setdefault(g.gpu.name, []).append((g, self.of_gpu(g)))
        return list(models.values())

    def of_gpu(self, g: GpuFrame) -> Settled:
        """Return the counts of a GPU of the kinds in `OUTLIER_KINDS`."""
        errors, kept = errors_by_link(g.links), self._of.get(g.gpu.uuid)
        if kept is None or kept[0] is not errors:
            counts = _settled_counts(errors)
            # A counter that increased is another object each second, because of its age.
            if kept and _are_same(counts, kept[1]):
                counts = kept[1]
            kept = self._of[g.gpu.uuid] = errors, counts
        return kept[1]


def _settled_counts(errors: ErrorsByLink) -> Settled:
    counts: Settled = {kind: [] for kind in OUTLIER_KINDS}
    for link, kinds in errors.items():
        for kind in kinds.keys() & counts.keys():
            total = settled_count(kinds[kind])
            if total is not None:
                counts[kind].append((total, link, kinds[kind]))
    return counts


def _are_same(now: Settled, before: Settled) -> bool:
    """Return whether two sets of counts would be compared alike; the time since a reset grows."""
    return all(
        len(counts) == len(before[kind])
        and all(
            total == old_total and link == old_link and error.reset_s is None and old.reset_s is None
            for (total, link, error), (old_total, old_link, old) in zip(counts, before[kind], strict=True)
        )
        for kind, counts in now.items()
    )


@mutable
class Outliers:
    """The outliers of the node, cached until a count changes."""

    _seen: tuple[Settled, ...] = ()
    _found: list[Outlier] = field(default_factory=list)

    def find(self, gpus: Sequence[GpuFrame], settled: SettledErrors) -> list[Outlier]:
        """Return the outliers among the links of each GPU model."""
        now = tuple([settled.of_gpu(g) for g in gpus])
        if len(now) != len(self._seen) or any(a is not b for a, b in zip(now, self._seen, strict=True)):
            self._seen, self._found = now, _find(gpus, settled)
        return self._found


def _find(gpus: Sequence[GpuFrame], settled: SettledErrors) -> list[Outlier]:
    found: dict[tuple[str, int], Outlier] = {}
    for alike in settled.by_model(gpus):
        for kind in OUTLIER_KINDS:
            for outlier in _outliers(alike, kind):
                found.setdefault((outlier.gpu, outlier.link), outlier)
    return sorted(found.values(), key=lambda o: -o.total)[:MAX_OUTLIERS]


def _outliers(gpus: Sequence[tuple[GpuFrame, Settled]], kind: str) -> list[Outlier]:
    totals = [(total, g, link) for g, settled in gpus for total, link, _ in settled[kind]]
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


def settled_count(error: ErrorCount) -> int | None:
    """Return a count without recent increases, which other rules report; None if it is unknown or full."""
    if not known(error.total) or error.total in SATURATED:
        return None
    rose = error.since_start if error.minutes and known(error.since_start) else 0
    # A counter that was reset may have increased by more than its count before that.
    return max(0, error.total - rose)


def watched_note(error: ErrorCount) -> str:
    """Return how many errors of a counter nvltop saw, if any; empty after a reset."""
    if error.reset_s is not None:  # what it saw includes errors that are no longer in the count
        return ""
    return f", {error.since_start} of them while nvltop watched" if or_none(error.since_start) else ""
