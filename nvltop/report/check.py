"""The line of `--check` and its exit code, as in the Monitoring Plugins guidelines."""

from __future__ import annotations

from typing import Final

from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.formatting import age, duration, pending_phrase
from nvltop.model import Frame, GpuFrame, Severity, known, total
from nvltop.report.incidents import event_line
from nvltop.report.phrases import has_unread_links
from nvltop.text import counted, noun_for, shortened

OK: Final = 0
WARNING: Final = 1
CRITICAL: Final = 2
UNKNOWN: Final = 3
"""Exit codes of a check; UNKNOWN covers every case without a verdict."""

STATUS_WORDS: Final = {OK: "OK", WARNING: "WARNING", CRITICAL: "CRITICAL", UNKNOWN: "UNKNOWN"}
SEVERITY_CODES: Final = {Severity.CRITICAL: CRITICAL, Severity.WARNING: WARNING, Severity.UNKNOWN: UNKNOWN}
"""Exit codes of severities; a notice is not an alarm and has none."""

MAX_EVENT_CHARS: Final = 120
"""Length of the event of a kernel log in the line, characters."""


def to_check(frame: Frame, seconds: float) -> tuple[str, int]:
    """Return the line and the exit code after observing the node for `seconds`.

    Critical (2) takes precedence over warning (1), which takes precedence over unknown (3): values that could
    not be read, and a condition that will be a warning or worse once its delay has passed. Findings caused by
    another finding are not counted.
    """
    counted = [f for f in frame.findings if f.severity in SEVERITY_CODES and f.caused_by is None]
    counted.sort(key=lambda f: -f.severity.rank)
    coming = [
        p for p in frame.pending if SEVERITY_CODES.get(p.finding.severity, UNKNOWN) in (CRITICAL, WARNING)
    ]
    if counted and (counted[0].severity is not Severity.UNKNOWN or not coming):
        others = len(counted) - 1
        text = counted[0].summary + (f" (and {others} more)" if others else "")
        code = SEVERITY_CODES[counted[0].severity]
    elif coming:
        text = f"too early for a verdict after {duration(seconds)}: {coming[0].finding.summary}"
        text += f"; {coming[0].finding.severity} {pending_phrase(coming[0].wait_s)} (`--for`)"
        code = UNKNOWN
    elif unread := _unread(frame):
        text, code = f"{unread}; {_fine(frame, seconds)}", UNKNOWN
    else:
        text, code = _fine(frame, seconds), OK
    return plugin_output(code, text + _fatal_xid(frame), _performance(frame)), code


def _fatal_xid(frame: Frame) -> str:
    """Return the newest fatal Xid of this boot that the kernel log shows; it does not change the verdict."""
    events = [e for i in frame.incidents if i.boot is None for e in i.events if e.source == "kernel"]
    fatal = [e for e in events if e.fault.kind == "xid" and e.fault.severity is Severity.CRITICAL]
    if not fatal:
        return ""
    newest = max(fatal, key=lambda e: e.wall_s or 0.0)
    ago = "" if newest.wall_s is None else f" {age(max(0.0, frame.tick.wall_s - newest.wall_s))} ago"
    return f"; kernel log: {shortened(event_line(frame, newest), MAX_EVENT_CHARS)}{ago}"


def answered_within(frame: Frame, seconds: float) -> bool:
    """Return whether each GPU was read in the last `seconds`: its link counters, or gauges without NVLink."""
    ages = [g.age_s.get("links" if g.links else "gauges", seconds) for g in frame.gpus if g.state == "ok"]
    return all(a < seconds for a in ages)


def _unread(frame: Frame) -> str:
    """Return what could not be read, empty if everything was: an unread value is never OK."""
    tick = frame.tick
    if tick.not_reading:
        return tick.not_reading.reason
    gpus = [g for g in frame.gpus if g.state == "ok"]
    old = [g.read_age_s for g in gpus if g.stale]
    if old:
        have = noun_for(len(old), "has", "have")
        return f"{len(old)} of {counted(len(frame.gpus), 'GPU')} {have} not been read for {age(min(old))}"
    linked = [g for g in gpus if _has_links(g)]
    if any(not known(g.nvlink.links_up) for g in linked):
        return "link states could not be read"
    if any("links" not in g.age_s for g in linked):
        return "link traffic could not be read"
    if any("errors" not in g.age_s for g in linked):
        return "link error counters could not be read"
    return ""


def _has_links(g: GpuFrame) -> bool:
    return known(g.nvlink.links_present) and g.nvlink.links_present > 0


def plugin_output(code: int, text: str, performance: str = "") -> str:
    """Return `NVLINK OK - text | performance data`; newlines and `|` in the text are replaced."""
    clear = " ".join(text.replace("|", "/").split())
    return f"NVLINK {STATUS_WORDS[code]} - {clear}" + (f" | {performance}" if performance else "")


def _fine(frame: Frame, seconds: float) -> str:
    gpus = counted(len(frame.gpus), "GPU")
    present = sum(p for g in frame.gpus if known(p := g.nvlink.links_present))
    links_up = total([g.nvlink.links_up for g in frame.gpus if _has_links(g)])
    up = links_up if known(links_up) else "?"
    unread = [c.name for c in frame.checks if c.outcome == "unknown"]
    text = f"{gpus}, no NVLink"
    if present:
        more = "+?" if any(map(has_unread_links, frame.gpus)) else ""
        text = f"{gpus}, {up}{more} of {present}{more} links up, {_errors(frame, seconds)}"
    notices = [f for f in frame.findings if f.severity is Severity.NOTICE and f.caused_by is None]
    if notices:
        text += f"; {notices[0].summary}"
    if frame.verdict.headline:
        text += f"; {frame.verdict.headline}"
    over = [f for f in frame.past_findings if f.severity in (Severity.CRITICAL, Severity.WARNING)]
    if over:
        others = f" (and {len(over) - 1} more)" if len(over) > 1 else ""
        text += f"; over by now: {over[0].headline}{others}"
    return text + (f"; not known: {', '.join(unread)}" if unread else "")


def _errors(frame: Frame, seconds: float) -> str:
    """Return the time without errors, from the first to the last reading of the counters that can be read."""
    linked = [g for g in frame.gpus if _has_links(g)]
    unread = [g for g in linked if not known(g.nvlink.errors_total) or g.nvlink.errors_unread_part]
    if linked and len(unread) == len(linked):
        return "link errors unknown"
    ages = [g.age_s.get("errors") for g in linked if g not in unread]
    watched_s = seconds - max((seconds if a is None else a for a in ages), default=seconds)
    text = f"no errors in {duration(watched_s)}" if watched_s >= 1 else "error counters read once"
    return f"{text} ({gpu_names(unread)} unknown)" if unread else text


def _performance(frame: Frame) -> str:
    """Return `label=value[unit];warn;crit;min;max` for each value that could be read.

    Rates are means over the window of the text report: a single reading may lie between two bursts.
    """
    severities = [f.severity for f in frame.findings if f.caused_by is None]
    parts = [
        f"{severity}={severities.count(severity)}"
        for severity in Severity.worst_first()
        if severity is not Severity.INFO
    ]
    if any(g.stale for g in frame.gpus):
        return " ".join(parts)  # old values are not performance data
    nvlinks = [g.nvlink for g in frame.gpus]
    up, present = total([n.links_up for n in nvlinks]), total([n.links_present for n in nvlinks])
    if nvlinks and known(up) and known(present):
        parts.append(f"links_up={up};;;0;{present}")
    for name, rates in (
        ("tx", [n.mean_tx_bytes_per_s for n in nvlinks if n.links_up]),
        ("rx", [n.mean_rx_bytes_per_s for n in nvlinks if n.links_up]),
    ):
        rate = total(rates)
        if rates and known(rate):
            parts.append(f"{name}_bytes_per_s={rate:.0f};;;0")
    counts = [n.errors_unread_part or n.errors_since_start for n in nvlinks if n.links_present]
    errors = total(counts)
    if counts and known(errors):
        parts.append(f"link_errors={errors};;;0")
    return " ".join(parts)
