"""The summary of a command as text, in the manner of `perf stat`."""

from __future__ import annotations

import shlex

from nvltop.formatting import in_seconds, percent
from nvltop.model import Maybe, Missing, known
from nvltop.model.error_kinds import error_kind
from nvltop.report.tables import table
from nvltop.run_command.summary import GpuSummary, RunSummary, ratio
from nvltop.text import clean

UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def to_text(s: RunSummary) -> str:
    """Return the summary as text."""
    lines = [
        "",
        f" nvltop: {clean(shlex.join(s.command))}: exit code {s.exit_code} after {s.duration_s:.2f} s",
    ]
    if s.problem:
        lines += ["", f"   {s.problem}"]
    if s.too_short:
        return "\n".join([*lines, "", "   The command was too short to measure its traffic.", ""])
    if not s.gpus:
        return "\n".join([*lines, ""])
    own = [g for g in s.gpus if g.own]
    lines += [""]
    if not s.attributed:
        lines += ["   No process of the command was seen on a GPU; these are all GPUs of the node."]
        seconds = [g.mean_over_s for g in s.gpus if known(g.mean_over_s)]
        if seconds:
            lines += [f"   Means are over the {max(seconds):.2f} s between the readings before and after it."]
        lines += [""]
    rows = [["GPU", "NVLink TX", "NVLink RX", "mean TX", "mean RX", "of NCCL max", "at the limit"]]
    rows += [_row(g) for g in own]
    lines += [f"   {line}" for line in table(rows).splitlines()]
    lines += ["", *(f"   {line}" for line in [*_steps(s), *_errors(s), *_findings(s), *_others(s)]), ""]
    return "\n".join(lines)


def amount(value: Maybe[float]) -> str:
    """Return a number of bytes with its unit, such as `1.23 TB`; `?` if unknown."""
    if isinstance(value, Missing):
        return "?"
    for size, unit in UNITS:
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:.0f} B"


def _row(g: GpuSummary) -> list[str]:
    means = g.means
    known_means = [m for m in means if known(m)]
    share: Maybe[float] = Missing("unknown")
    if known_means and known(g.nccl_max_bytes_per_s) and g.nccl_max_bytes_per_s:
        share = max(known_means) / g.nccl_max_bytes_per_s
    at_limit = ratio(g.at_limit_s, g.mean_over_s)
    rates = [f"{amount(m)}/s" if known(m) else "?" for m in means]
    return [
        str(g.index),
        amount(g.tx_bytes),
        amount(g.rx_bytes),
        *rates,
        f"{percent(share).strip()}%" if known(share) else "?",
        f"{percent(at_limit).strip()}% of the time" if known(at_limit) else "?",
    ]


def _steps(s: RunSummary) -> list[str]:
    if s.judgement is None or s.judgement.step_s is None:
        return ["Steps: none found (a step takes several seconds to recognise)"]
    step_s = s.judgement.step_s
    return [f"Steps: {in_seconds(step_s)} each, about {s.duration_s / step_s:.0f} of them"]


def _errors(s: RunSummary) -> list[str]:
    late = f" (last read {s.errors_late_s:.0f} s before the end)" if s.errors_late_s > 0 else ""
    if not s.errors and not s.resets:
        return [f"Link errors: no counter increased{late}"]
    found = [f"GPU {e.gpu} link {e.link}: +{e.count} {error_kind(e.kind).title}" for e in s.errors]
    found += [f"GPU {gpu} link {link}: counters reset" for gpu, link in s.resets]
    return [f"Link errors{late}:", *(f"  {line}" for line in found)]


def _findings(s: RunSummary) -> list[str]:
    if not s.findings:
        return ["Findings: none began while the command ran"]
    return ["Findings:", *(f"  {f.severity}: {f.summary}; {f.next_step}" for f in s.findings)]


def _others(s: RunSummary) -> list[str]:
    return [f"Other traffic, not counted above: {', '.join(s.others)}"] if s.others else []
