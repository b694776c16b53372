"""Rules about the load of links: link-imbalance, switch-plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nvltop.analysis.activity.link_balance import LinkImbalance
from nvltop.analysis.health.claim import Claim, Escalation
from nvltop.analysis.health.gpu_names import gpu_name, gpu_names
from nvltop.formatting import duration
from nvltop.median import median
from nvltop.model import GpuFrame, Severity
from nvltop.text import ranges

RULES: Final = ("link-imbalance", "switch-plane")
UNEVEN_S: Final = 15.0
"""Time after which uneven load of links is reported, seconds."""
ESCALATIONS: Final = (Escalation(Severity.NOTICE, after_s=UNEVEN_S),)


def evaluate(imbalances: Sequence[LinkImbalance], by_uuid: Mapping[str, GpuFrame]) -> Iterator[Claim]:
    """Claim that a link carries much less than the others of its GPU, or that a whole NVSwitch plane does."""
    planes: dict[str, list[LinkImbalance]] = {}
    for odd in imbalances:
        if odd.gpu not in by_uuid:
            continue
        if odd.plane:
            planes.setdefault(odd.plane, []).append(odd)
        else:
            yield _imbalance(odd, by_uuid[odd.gpu])
    for plane, members in planes.items():
        yield _plane(plane, members, by_uuid)


def _imbalance(odd: LinkImbalance, g: GpuFrame) -> Claim:
    """Return the claim that one link carries much less than the other links of its GPU."""
    verb = _verb({odd.direction})
    return Claim(
        rule="link-imbalance",
        gpu=odd.gpu,
        link=odd.link,
        headline=f"{gpu_name(g)} link {odd.link} {verb} {_part([odd])}",
        summary=f"{gpu_name(g)} link {odd.link} {verb} {_rate(odd.bytes_per_s)}, its sister links"
        f" {odd.usual_bytes_per_s / 1e9:.2f} GB/s each (mean of {duration(odd.seconds)})",
        escalations=ESCALATIONS,
        evidence=_evidence([odd]),
        next_step="Check this link's errors and state; if it stays so, reset the GPU once it is free",
        confidence="possible",
    )


def _plane(plane: str, members: Sequence[LinkImbalance], by_uuid: Mapping[str, GpuFrame]) -> Claim:
    """Return the claim that the links of most GPUs to one NVSwitch carry much less than their others."""
    links = sorted({odd.link for odd in members})
    gpus = [by_uuid[uuid] for uuid in dict.fromkeys(odd.gpu for odd in members)]
    verb = _verb({odd.direction for odd in members}, plural=len(links) > 1)
    where = f"{'Links' if len(links) > 1 else 'Link'} {ranges(links)} of {gpu_names(gpus)}"
    switch = plane if plane.startswith("NVSwitch") else "the NVSwitch behind it"
    return Claim(
        rule="switch-plane",
        gpu=None,
        link=links[0] if len(links) == 1 else None,
        identity=plane,
        headline=f"NVSwitch plane of link {links[0]}: {_part(members)}"
        if len(links) == 1
        else f"An NVSwitch plane: {_part(members)}",
        summary=f"{where} {verb} {_part(members)}: {switch} lags, not one GPU or link",
        escalations=ESCALATIONS,
        evidence={**_evidence(members), "links": links, "gpus": sorted(g.gpu.index for g in gpus)},
        next_step="Check this NVSwitch in NMX or in the log of the fabric manager, and whether other nodes of"
        " the NVLink domain report it",
        confidence="likely",
    )


def _verb(directions: set[str], plural: bool = False) -> str:
    if len(directions) > 1:
        return "carry" if plural else "carries"
    return ("send" if directions == {"tx"} else "receive") + ("" if plural else "s")


def _evidence(members: Sequence[LinkImbalance]) -> dict[str, object]:
    directions = {odd.direction for odd in members}
    return {
        "direction": directions.pop() if len(directions) == 1 else None,
        "bytes_per_s": round(median(odd.bytes_per_s for odd in members)),
        "usual_bytes_per_s": round(median(odd.usual_bytes_per_s for odd in members)),
        "window_s": round(min(odd.seconds for odd in members), 1),
    }


def _part(members: Sequence[LinkImbalance]) -> str:
    """Return the median share of the usual rate, as the object of a sentence."""
    share = median(o.bytes_per_s / o.usual_bytes_per_s if o.usual_bytes_per_s else 0.0 for o in members)
    return f"{share:.0%} of the usual" if share >= 0.01 else "nothing"


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e9:.2f} GB/s" if bytes_per_s >= 5e6 else "nothing"
