"""What happened on the links while a command ran: bytes, errors, share of the limit, steps, findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from nvltop.frozen import frozen, mutable
from nvltop.model import Finding, Frame, GpuFrame, Judgement, Maybe, Missing, Process, Scope, known
from nvltop.model.error_kinds import INFORMATIVE

TOO_SHORT_S: Final = 1.0
"""Seconds below which the counters of most drivers do not show what a command did."""
OTHER_BYTES_PER_S: Final = 1e8
"""Mean rate of a GPU that the command does not use from which its traffic is named."""
NOT_READ_BEFORE: Final = Missing("not read before the command")
WAS_RESET: Final = Missing("the counter was reset while the command ran")


def ratio(part: Maybe[float], whole: Maybe[float]) -> Maybe[float]:
    """Return `part / whole`, or why one of them is missing."""
    if isinstance(part, Missing):
        return part
    return part / whole if known(whole) else whole


@frozen
class GpuSummary:
    """One GPU while the command ran."""

    index: int
    uuid: str
    name: Maybe[str]
    own: bool
    """Whether a process of the command used the GPU, or it is unknown who did."""
    tx_bytes: Maybe[int]
    rx_bytes: Maybe[int]
    nccl_max_bytes_per_s: Maybe[float]
    """Rate that NCCL reaches in one direction."""
    at_limit_s: Maybe[float]
    """Seconds with the most used links at the limit."""
    mean_over_s: Maybe[float]
    """Seconds over which means are taken: those of the command if the traffic is its own, else those between
    the readings before and after it."""

    @property
    def means(self) -> tuple[Maybe[float], Maybe[float]]:
        """Mean TX and RX, bytes per second."""
        return ratio(self.tx_bytes, self.mean_over_s), ratio(self.rx_bytes, self.mean_over_s)


@frozen
class ErrorIncrease:
    """One error counter of one link that increased."""

    gpu: int
    link: int
    kind: str
    count: int


@frozen
class RunSummary:
    """What a command did to the links."""

    command: tuple[str, ...]
    exit_code: int
    duration_s: float
    problem: str = ""
    """Why nothing, or not everything, could be measured; one line."""
    attributed: bool = False
    """Whether processes of the command were seen on GPUs; else every GPU counts as its own."""
    gpus: tuple[GpuSummary, ...] = ()
    errors: tuple[ErrorIncrease, ...] = ()
    resets: tuple[tuple[int, int], ...] = ()
    """GPU and link of each link whose error counters fell: reset while the command ran."""
    errors_late_s: float = 0.0
    """Seconds before the end at which the error counters were last read; 0 if after it."""
    judgement: Judgement | None = None
    """The last judgement of the command's job in which a step was found; None if no step was found."""
    findings: tuple[Finding, ...] = ()
    """Findings that began while the command ran, the worst first."""
    others: tuple[str, ...] = ()
    """Labels of other jobs with GPUs that had traffic."""

    @property
    def too_short(self) -> bool:
        """Whether the command ran too briefly for its traffic to be measured."""
        return self.duration_s < TOO_SHORT_S


@mutable
class RunObserver:
    """Collects frames while a command runs."""

    pid: int
    own_gpus: set[str] = field(default_factory=set)
    _first: Frame | None = None
    _last: Frame | None = None
    _findings: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    _before: set[tuple[object, ...]] = field(default_factory=set)
    _judgement: Judgement | None = None

    def begin(self, frame: Frame) -> None:
        """Take the frame before the command starts."""
        self._first = self._last = frame
        self._before = {_key(finding) for finding in frame.findings}

    def add(self, frame: Frame) -> None:
        """Take a frame while the command runs, or just after."""
        if self._first is None or not self._first.gpus:
            self.begin(frame)
        self._last = frame
        processes = frame.processes.processes if known(frame.processes) else ()
        for process in processes:
            if is_in_tree(process, self.pid):
                self.own_gpus.update(use.gpu for use in process.uses)
        for finding in frame.findings:
            if _key(finding) not in self._before:
                worst = self._findings.get(_key(finding))
                if worst is None or finding.severity >= worst.severity:
                    self._findings[_key(finding)] = finding
        for judgement in frame.judgements:
            mine = not self.own_gpus or self.own_gpus & set(judgement.gpus)
            if mine and judgement.step_s is not None:
                self._judgement = judgement

    def summary(
        self, command: tuple[str, ...], exit_code: int, duration_s: float, problem: str, end_s: float
    ) -> RunSummary:
        """Return the summary; `end_s` is CLOCK_MONOTONIC of the command's end."""
        first, last = self._first, self._last
        if first is None or last is None or not last.gpus:
            return RunSummary(command, exit_code, duration_s, problem or "no GPU was read")
        before = {g.gpu.uuid: g for g in first.gpus}
        gpus = tuple(self._gpu(before.get(g.gpu.uuid), g, first, last, duration_s) for g in last.gpus)
        errors, resets = _errors(before, last)
        read_s = [last.tick.mono_s - g.age_s["errors"] for g in last.gpus if "errors" in g.age_s]
        others = tuple(
            job.label
            for job in last.jobs
            if self.own_gpus and not self.own_gpus & set(job.gpus) and self._busy(job.gpus, gpus, duration_s)
        )
        return RunSummary(
            command,
            exit_code,
            duration_s,
            problem,
            bool(self.own_gpus),
            gpus,
            errors,
            resets,
            max(0.0, end_s - min(read_s)) if read_s else 0.0,
            self._judgement,
            tuple(sorted(self._findings.values(), key=lambda f: f.severity, reverse=True)),
            others,
        )

    def _gpu(
        self, before: GpuFrame | None, g: GpuFrame, first: Frame, last: Frame, duration_s: float
    ) -> GpuSummary:
        tx, rx = (_moved(before, g, direction) for direction in ("tx", "rx"))
        ceiling, speed = g.nvlink.ceiling, g.nvlink.speed_bytes_per_s
        practical = ceiling * speed if known(ceiling) and known(speed) else Missing("no NVLink speed")
        at_limit = dict(last.at_limit_s).get(g.gpu.uuid, 0.0) - dict(first.at_limit_s).get(g.gpu.uuid, 0.0)
        own = not self.own_gpus or g.gpu.uuid in self.own_gpus
        over_s: Maybe[float] = duration_s
        if not self.own_gpus:
            over_s = _between_s(before, g, last.tick.mono_s - first.tick.mono_s)
        if known(over_s):
            at_limit = min(at_limit, over_s)  # it is counted some seconds late
        return GpuSummary(g.gpu.index, g.gpu.uuid, g.gpu.name, own, tx, rx, practical, at_limit, over_s)

    @staticmethod
    def _busy(uuids: tuple[str, ...], gpus: tuple[GpuSummary, ...], duration_s: float) -> bool:
        moved = [g.tx_bytes for g in gpus if g.uuid in uuids and known(g.tx_bytes)]
        return sum(moved) > OTHER_BYTES_PER_S * duration_s


def is_in_tree(process: Process, pid: int) -> bool:
    """Return whether a process is the command, was started by it, or is in a session that it began."""
    return pid in (process.pid, process.session) or any(a.pid == pid for a in process.ancestors)


def _key(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.gpu, finding.link, finding.nic


def _between_s(before: GpuFrame | None, after: GpuFrame, passed_s: float) -> Maybe[float]:
    """Return the time between the link counters of two frames that are `passed_s` apart, seconds."""
    ages = before.age_s if before else {}
    if "links" not in ages or "links" not in after.age_s:
        return NOT_READ_BEFORE
    between_s = passed_s + ages["links"] - after.age_s["links"]
    return between_s if between_s > 0 else NOT_READ_BEFORE


def _moved(before: GpuFrame | None, after: GpuFrame, direction: str) -> Maybe[int]:
    """Return the bytes that a GPU sent (`tx`) or received (`rx`) over NVLink between two frames."""
    if after.state != "ok":
        return Missing(after.state_reason)
    if before is None:
        return NOT_READ_BEFORE
    whole = after.nvlink.scope is Scope.GPU
    pairs = [(before.nvlink, after.nvlink)] if whole else list(zip(before.links, after.links, strict=False))
    moved = 0
    for old, new in pairs:
        a, b = (getattr(of, f"{direction}_bytes_total") for of in (old, new))
        if isinstance(a, Missing):
            return a if isinstance(b, Missing) else NOT_READ_BEFORE
        if isinstance(b, Missing):
            return b
        if b < a:
            return WAS_RESET
        moved += b - a
    if not pairs:
        return Missing("no NVLink")
    return moved


def _errors(
    before: Mapping[str, GpuFrame], last: Frame
) -> tuple[tuple[ErrorIncrease, ...], tuple[tuple[int, int], ...]]:
    """Return the error counters that increased, and the links whose counters were reset."""
    increased: list[ErrorIncrease] = []
    resets: list[tuple[int, int]] = []
    for g in last.gpus:
        links = {link.index: link for link in before[g.gpu.uuid].links} if g.gpu.uuid in before else {}
        for link in g.links:
            old = links.get(link.index)
            fell = False
            for kind, count in link.errors.items():
                was = old.errors.get(kind) if old else None
                if kind in INFORMATIVE or was is None or not (known(was.total) and known(count.total)):
                    continue
                if count.total > was.total:
                    increased.append(ErrorIncrease(g.gpu.index, link.index, kind, count.total - was.total))
                fell = fell or count.total < was.total
            if fell:
                resets.append((g.gpu.index, link.index))
    return tuple(increased), tuple(resets)
