"""The links of a frame compared with an earlier moment of this run, or with a file; for the screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Final

from nvltop.comparison.improvement import is_better
from nvltop.comparison.sides import Report, Side, less_read, pair, remote_text, remotes_differ
from nvltop.comparison.source import side_of
from nvltop.frozen import frozen
from nvltop.model import ErrorCount, Frame, GpuFrame, Link, Maybe, Missing, NicFrame, known

HOUR_S: Final = 3600.0
PER_HOUR_S: Final = 600.0
"""Seconds below which an increase is not given per hour."""
TOO_SHORT: Final = Missing("less than ten minutes")
NO_TIME: Final = Missing("the other side does not say its time")
NO_GPU: Final = Missing("the other side does not have this GPU")
NO_LINK: Final = Missing("the other side does not have this link")
NO_PORT: Final = Missing("the other side does not have this port")
NOT_COUNTED: Final = Missing("the other side does not count this")
IS_LATER: Final = Missing("the other side is the later one")
TOLERANCE_S: Final = 1.0
"""Seconds that two readings of one moment may be apart."""
ABSENT: Final = "absent"

LinkKey = tuple[str, int]
"""UUID of a GPU and index of its link, or name of a NIC and number of its port."""


@frozen
class Facts:
    """What is compared of a link, or of a port of a NIC, beside its counters."""

    texts: Mapping[str, str | None]
    """State and speed; None if it could not be read."""
    end: Report = field(default_factory=dict)
    """The link with its remote end, as in a report; empty for a port of a NIC."""
    reason: str = ""
    """Why the state could not be read; empty if it was."""


@frozen
class BaselineLink:
    """A link, or a port of a NIC, as it was in the baseline."""

    facts: Facts
    counts: Mapping[str, Maybe[int]]
    """Lifetime counts of errors by kind."""
    since_start: Mapping[str, Maybe[int]] | None = None
    """Increases since the start of this run by kind; None for a file."""


@frozen
class Baseline:
    """What a frame is compared with."""

    name: str
    """`10:02:11`, `start`, or the name of the file."""
    time_s: float | None
    """Unix time; None if the file does not say."""
    links: Mapping[LinkKey, BaselineLink]
    gpus: frozenset[str]
    """UUIDs of the GPUs of this node that the baseline has."""
    from_file: bool = False
    node: str = ""
    """Whether the file is of the same node."""
    reason: str = ""
    """How that is known, or why it is not."""
    incomparable: Missing | None = None
    """Why counts are not subtracted; None if they are those of the same devices."""

    def over_s(self, frame: Frame) -> float | None:
        """Return the seconds from the baseline to a frame; None if the baseline has no time."""
        return None if self.time_s is None else frame.tick.wall_s - self.time_s


@frozen
class CountChange:
    """One error counter compared with the baseline."""

    before: Maybe[int]
    increase: Maybe[int]
    """Increase since the baseline, never negative; missing with the reason where it cannot be determined."""
    per_hour: Maybe[float] = TOO_SHORT


@frozen
class FactChange:
    """A state, speed or remote end that differs from the baseline."""

    what: str
    before: str
    now: str
    note: str = ""
    improved: bool = False
    """Whether it is better than in the baseline, or can be read again."""


def of_frame(frame: Frame, name: str) -> Baseline:
    """Return a frame of this run as a baseline."""
    links = {key: _of_counts(facts, errors) for key, facts, errors in _parts(frame)}
    return Baseline(name, frame.tick.wall_s, links, frozenset(g.gpu.uuid for g in frame.gpus))


def of_start(frame: Frame, name: str) -> Baseline:
    """Return the start of this run as a baseline: its counts, and the states of its first complete frame."""
    links = {key: _of_counts(facts, errors, at_start=True) for key, facts, errors in _parts(frame)}
    return Baseline(name, frame.started_s, links, frozenset(g.gpu.uuid for g in frame.gpus))


def _parts(frame: Frame) -> Iterator[tuple[LinkKey, Facts, Mapping[str, ErrorCount]]]:
    """Yield the links and ports of a frame with their facts and counters."""
    for g in frame.gpus:
        for link in g.links:
            yield (g.gpu.uuid, link.index), _facts(frame, link), link.errors
    for f in frame.nics:
        yield (f.nic.device, f.port.port), _port_facts(f), f.errors


def _of_counts(facts: Facts, errors: Mapping[str, ErrorCount], at_start: bool = False) -> BaselineLink:
    if not at_start:
        counts = {kind: e.total for kind, e in errors.items()}
        return BaselineLink(facts, counts, {kind: e.since_start for kind, e in errors.items()})
    counts = {kind: _at_start(e) for kind, e in errors.items()}
    return BaselineLink(facts, counts, dict.fromkeys(errors, 0))


def _at_start(error: ErrorCount) -> Maybe[int]:
    if isinstance(error.total, Missing) or isinstance(error.since_start, Missing):
        return error.total
    return max(0, error.total - error.since_start)


def of_file(side: Side, frame: Frame) -> Baseline:
    """Return a file as a baseline; `frame` is the newest frame of the node that is compared with it."""
    pairing = pair(side, side_of("", frame))
    by_index = {g.gpu.index: g.gpu.uuid for g in frame.gpus}
    links: dict[LinkKey, BaselineLink] = {}
    matched = {id(theirs): by_index[ours["index"]] for theirs, ours in pairing.gpus}
    for theirs, _ in pairing.gpus:
        for link in theirs.get("links") or ():
            links[matched[id(theirs)], link["index"]] = _of_report(_reported_facts(link), link)
    for nic in side.nics:
        links[nic["name"], nic["port"]] = _of_report(Facts({"NIC state": nic.get("state")}), nic)
    node = {True: "the same node", False: "another node", None: "perhaps another node"}[pairing.same_node]
    return Baseline(
        side.name,
        side.time_s,
        links,
        frozenset(matched.values()),
        from_file=True,
        node=node,
        reason=pairing.reason,
        incomparable=None if pairing.comparable_counts else Missing(f"{node}: {pairing.reason}"),
    )


def _of_report(facts: Facts, link: Report) -> BaselineLink:
    counts: dict[str, Maybe[int]] = {}
    for kind, error in (link.get("errors") or {}).items():
        reason = (error.get("missing") or {}).get("total", "could not be read then")
        counts[kind] = Missing(str(reason)) if error.get("total") is None else error["total"]
    return BaselineLink(facts, counts)


def _reported_facts(link: Report) -> Facts:
    state = link.get("state")
    texts = {
        "link state": None if state in (None, "unknown") else str(state),
        "link speed": _speed(link.get("speed_bytes_per_s")),
    }
    return Facts(texts, link, str(link.get("state_reason") or ""))


def _facts(frame: Frame, link: Link) -> Facts:
    remote = link.remote
    index_of = {g.gpu.uuid: g.gpu.index for g in frame.gpus}
    report: dict[str, Any] = {
        "kind": remote.kind.value,
        "gpu": index_of.get(remote.gpu) if remote.gpu else None,
        "pci_bus_id": remote.pci_bus_id if known(remote.pci_bus_id) else None,
        "link": remote.link if known(remote.link) else None,
    }
    speed = link.speed_bytes_per_s
    texts = {
        "link state": None if link.state_reason else link.state.value,
        "link speed": _speed(speed if known(speed) else None),
    }
    return Facts(texts, {"remote": report}, link.state_reason)


def _port_facts(f: NicFrame) -> Facts:
    state = f.port.state
    return Facts({"NIC state": state if known(state) else None})


def _speed(bytes_per_s: Any) -> str | None:
    return f"{bytes_per_s / 1e9:.1f} GB/s" if isinstance(bytes_per_s, (int, float)) else None


def count_change(
    baseline: Baseline,
    frame: Frame,
    key: LinkKey,
    kind: str,
    error: ErrorCount,
    uptime_s: Maybe[float],
) -> CountChange:
    """Compare one counter of a link, or of a port of a NIC, with the baseline."""
    then = baseline.links.get(key)
    if then is None:
        gpus = {g.gpu.uuid for g in frame.gpus}
        absent = NO_PORT if key[0] not in gpus else NO_LINK if key[0] in baseline.gpus else NO_GPU
        return CountChange(absent, absent)
    before = then.counts.get(kind, NOT_COUNTED)
    over_s = baseline.over_s(frame)
    increase = _increase(baseline, then, kind, before, error, uptime_s, over_s)
    if isinstance(increase, Missing) or over_s is None:
        return CountChange(before, increase, increase if isinstance(increase, Missing) else NO_TIME)
    return CountChange(before, increase, increase / over_s * HOUR_S if over_s >= PER_HOUR_S else TOO_SHORT)


def _increase(
    baseline: Baseline,
    then: BaselineLink,
    kind: str,
    before: Maybe[int],
    error: ErrorCount,
    uptime_s: Maybe[float],
    over_s: float | None,
) -> Maybe[int]:
    now = error.total
    if baseline.incomparable:
        return baseline.incomparable
    if isinstance(before, Missing) or isinstance(now, Missing):
        return before if isinstance(before, Missing) else now
    if baseline.from_file and over_s is not None and over_s < -TOLERANCE_S:
        return IS_LATER
    seen_s = over_s or 0.0
    if known(uptime_s) and over_s is not None and uptime_s < over_s - TOLERANCE_S:
        return Missing(f"the driver initialised the GPU in between; {now} since then")
    if now < before or (error.reset_s is not None and error.reset_s < seen_s):
        return Missing(f"the counter was reset in between; {now} since then")
    if then.since_start is None:
        return now - before
    started = then.since_start.get(kind, NOT_COUNTED)
    if isinstance(started, Missing) or isinstance(error.since_start, Missing):
        return now - before
    return max(0, error.since_start - started)


def fact_changes(baseline: Baseline, frame: Frame, g: GpuFrame, link: Link) -> list[FactChange]:
    """Return which of state, speed and remote end of a link differ from the baseline."""
    then = baseline.links.get((g.gpu.uuid, link.index))
    if then is None:
        return [FactChange("link", ABSENT, "present", improved=True)] if g.gpu.uuid in baseline.gpus else []
    return _differing(then.facts, _facts(frame, link))


def port_changes(baseline: Baseline, f: NicFrame) -> list[FactChange]:
    """Return what differs of a port of a NIC from the baseline."""
    then = baseline.links.get((f.nic.device, f.port.port))
    return [] if then is None else _differing(then.facts, _port_facts(f))


def _differing(before: Facts, now: Facts) -> list[FactChange]:
    found = []
    up = before.texts.get("link state") == now.texts.get("link state") == "up"
    for what, a in before.texts.items():
        b = now.texts.get(what)
        # A link that is not up has no speed to compare.
        if a == b or (what == "link speed" and not up):
            continue
        unread = _unread((before, now), 0 if a is None else 1) if None in (a, b) else ""
        improved = is_better(what, _number_or_text(a), _number_or_text(b)) if a and b else a is None
        found.append(FactChange(what, a or "?", b or "?", unread, improved))
    differ = remotes_differ(before.end, now.end)
    if differ is not False:
        ends = [remote_text(facts.end) for facts in (before, now)]
        side = less_read(before.end, now.end) if differ is None else None
        unread = "" if side is None else _unread((before, now), side)
        found.append(FactChange("remote end", ends[0], ends[1], unread, side == 0))
    return found


def _number_or_text(value: str) -> float | str:
    """Return the number of a speed, such as 25.0 of `25.0 GB/s`, or another text as it is."""
    number, _, unit = value.partition(" ")
    return float(number) if unit == "GB/s" else value


def _unread(sides: tuple[Facts, Facts], side: int) -> str:
    reason = f" ({sides[side].reason})" if sides[side].reason else ""
    return f"could not be read {('then', 'now')[side]}{reason}"


def lost_links(baseline: Baseline, g: GpuFrame) -> Iterator[int]:
    """Yield the links of a GPU that the baseline has and the GPU no longer has."""
    present = len(g.links)
    for uuid, index in baseline.links:
        if uuid == g.gpu.uuid and index >= present:
            yield index
