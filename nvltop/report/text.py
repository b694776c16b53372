"""The text report: for `--once`, pipes and files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from nvltop import __version__
from nvltop.analysis.health.gpu_names import gpu_names
from nvltop.model import Frame, GpuFrame, known
from nvltop.report import activity, findings, incidents
from nvltop.report.nvidia_smi import nvlink
from nvltop.report.nvidia_smi.topo import matrix_table
from nvltop.report.phrases import has_unread_links, node_line, nvlink_line, rates_window
from nvltop.report.tables import gpu_table, jobs, link_errors, links, nics, unknowns

if TYPE_CHECKING:
    from nvltop.report.formats import RenderOptions

LINKS_TITLE: Final = "links (as `nvidia-smi nvlink -s`; followed by TX and RX in GB/s and the other end)"
ERRORS_TITLE: Final = "link errors (as `nvidia-smi nvlink -e`; links with none share a line)"


def render(frame: Frame, options: RenderOptions) -> str:
    """Return a frame as text, followed by an empty line if the run prints several."""
    return to_text(frame, options.only, options.verbose) + ("\n" if options.several else "")


def to_text(frame: Frame, only: Iterable[str] | None = None, verbose: bool = True) -> str:
    """Return a frame as text; `only` holds the UUIDs of the GPUs to list.

    Without `verbose`, matrix, NICs, links and the reasons of unknown values are omitted.
    """
    wanted = None if only is None else set(only)
    gpus = [g for g in frame.gpus if wanted is None or g.gpu.uuid in wanted]
    parts = [_head(frame), gpu_table(gpus)]
    if verbose and frame.matrix.labels:
        parts.append("\n" + matrix_table(frame))
    if verbose:
        parts.append(_titled("NICs", nics(frame)))
    if verbose and any(nvlink.instead_of_links(g) != nvlink.NO_NVLINK for g in gpus):
        parts.append(_titled(LINKS_TITLE, "\n".join(links(g, frame) for g in gpus)))
    parts.append(_errors(gpus, verbose))
    parts.append(_titled("jobs", jobs(frame)))
    unknown = unknowns(frame, gpus)
    if verbose:
        parts.append(_titled("unknown:", unknown))
    parts.append(_health(frame))
    if not verbose and frame.gpus:
        parts.append(f"\n{_omitted(unknown)}")
    return "\n".join(part for part in parts if part)


def _errors(gpus: list[GpuFrame], verbose: bool) -> str:
    """Return the error counters of the links; in a brief report only those that are not 0."""
    counted = [g for g in gpus if nvlink.errors(g)]
    shown = counted if verbose else [g for g in counted if not _without_errors(g)]
    if shown or not counted:
        return _titled(ERRORS_TITLE, "\n".join(link_errors(g) for g in shown))
    links_read = sum(len(g.links) for g in counted)
    unread = [g for g in gpus if has_unread_links(g)]
    if unread:
        return f"\nlink errors: 0 on {links_read} links, unknown on {gpu_names(unread)}"
    return f"\nlink errors: 0 on all {links_read} links"


def _without_errors(g: GpuFrame) -> bool:
    """Return whether every error counter of every link was read and is 0."""
    return all(known(e.total) and not e.total for link in g.links for e in link.errors.values())


def _omitted(unknown: str) -> str:
    """Return the line that names what a brief report omits."""
    count = len(unknown.splitlines())
    reasons = f", and the reasons of {count} unknown values" if count > 1 else ""
    return f"--verbose adds the matrix, NICs, every link{reasons}."


def _head(frame: Frame) -> str:
    when = datetime.fromtimestamp(frame.tick.wall_s).astimezone().isoformat(timespec="seconds")
    return "\n".join(
        (
            f"nvltop {__version__} · {when} · {rates_window(frame)}",
            node_line(frame),
            nvlink_line(frame),
            *_verdict(frame),
        )
    )


def _verdict(frame: Frame) -> list[str]:
    """Return the headline and the sentence of the verdict, and how long the node was watched."""
    found = frame.verdict
    lines = [found.headline]
    if found.summary != found.headline:
        lines.append(found.summary)
    if watched := activity.watched_phrase(frame):
        lines.append(watched)
    return lines


def _titled(title: str, text: str) -> str:
    return f"\n{title}\n{text}" if text else ""


def _health(frame: Frame) -> str:
    """Return the findings and the checks that are pending, fine or unknown."""
    found = findings.to_lines(frame)
    found += incidents.to_lines(frame)
    fine = [c.name for c in frame.checks if c.outcome == "fine"]
    if not found and not fine and all(c.outcome == "n/a" for c in frame.checks):
        return ""
    unread = [f"{c.name} ({c.detail})" for c in frame.checks if c.outcome == "unknown"]
    pending = [f"{c.name} ({c.detail})" for c in frame.checks if c.outcome == "pending"]
    lines = ["", "health", *(f"  {line}" for line in found)]
    if pending:
        lines.append(f"  pending: {', '.join(pending)}")
    if fine:
        lines.append(f"  fine: {', '.join(fine)}")
    if unread:
        lines.append(f"  unknown: {', '.join(unread)}")
    return "\n".join(lines)
