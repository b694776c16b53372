"""The status line of the selected GPU or link: reasons for unknown values, and what the counters count."""

from __future__ import annotations

from nvltop.formatting import age
from nvltop.model import Counter, GpuFrame, Maybe, Missing
from nvltop.report import nics
from nvltop.report.phrases import unknown_by_reason
from nvltop.text import counted
from nvltop.tui.render.row import SEPARATOR
from nvltop.tui.render.traffic import has_links
from nvltop.tui.render.view_state import ViewState
from nvltop.tui.tabs.main.nics import nearest_port


def status(view: ViewState) -> str:
    """Return what the filter hides, and the reasons for unknown values of the selected GPU or link."""
    return SEPARATOR.join(filter(None, (_hidden(view), _selected(view))))


def _hidden(view: ViewState) -> str:
    """Return what the filter hides: `filter "IB" hides 8 GPUs, 4 NICs`."""
    if not view.filter_text:
        return ""
    hidden = {
        "GPU": len(view.frame.gpus) - len(view.gpus),
        "NIC": len(view.frame.nics) - len(view.nics),
    }
    parts = [counted(count, name) for name, count in hidden.items() if count]
    words = view.alias(view.filter_text)
    quoted = f' "{words}"' if view.alias is str or words != view.filter_text else ""
    return f"filter{quoted} hides {', '.join(parts) or 'nothing'}"


def _selected(view: ViewState) -> str:
    g = view.selected
    if g is None:
        return ""
    if view.focus == "links" and view.link < len(g.links):
        link = g.links[view.link]
        values: dict[str, Maybe[object]] = {"TX": link.mean_tx_bytes_per_s, "RX": link.mean_rx_bytes_per_s}
        values |= {kind: error.total for kind, error in link.errors.items()}
        return SEPARATOR.join(unknown_by_reason(f"link {link.index}", values))
    name = f"GPU {g.gpu.index}"
    if g.state != "ok":
        return f"{name}: {g.state_reason}"
    parts = unknown_by_reason(name, _values(g, has_links(view.gpus)))
    if g.nvlink.counter is Counter.RAW:
        parts.append(f"{name} counts RAW bytes, with protocol")
    near = nearest_port(view)
    if near is not None:
        port = view.frame.nics[near]
        parts += unknown_by_reason(nics.nic_name(port), nics.row_values(port))
        if port.stale:
            parts.append(f"NICs were read {age(port.age_s)} ago")
    return SEPARATOR.join(parts)


def _values(g: GpuFrame, linked: bool) -> dict[str, Maybe[object]]:
    """Return the values that the GPU table shows, by name."""
    gauges, nvlink = g.gauges, g.nvlink
    values: dict[str, Maybe[object]] = {
        "util": gauges.util_percent,
        "mem": gauges.memory_used_bytes,
        "power": gauges.power_w,
        "temp": gauges.temperature_c,
    }
    if not linked:
        return values | {
            "PCIe": gauges.pcie_gen,
            "PCIe TX": g.pcie.tx_bytes_per_s,
            "PCIe RX": g.pcie.rx_bytes_per_s,
            "NUMA": g.gpu.numa_node,
        }
    if isinstance(nvlink.links_present, Missing):
        return values | {"links": nvlink.links_present}
    if nvlink.links_present == 0:
        return values
    values |= {"links": nvlink.links_up, "errors": nvlink.errors_unread_part or nvlink.errors_total}
    if nvlink.links_up == 0:
        return values
    return values | {
        "TX": nvlink.mean_tx_bytes_per_s,
        "RX": nvlink.mean_rx_bytes_per_s,
        "speed": nvlink.speed_bytes_per_s,
    }
