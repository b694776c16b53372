"""A rack of 18 trays, served by one process: pages of metrics whose counters rise with time, and faults.

Run as a program it serves a rack, and reads commands such as `7 silent` from its standard input.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TRAYS = 18
RATE = 25e9
"""Bytes/s of each link and direction."""
HANG_S = 30.0
MODES = ("ok", "silent", "hang", "lost-gpu", "nan", "errors", "link-down", "cause", "echo")
_LINE = re.compile(r"(\w+)\{(.*)\} (\S+)")

Line = tuple[str, str, float]


def parsed(template: str) -> list[Line]:
    """Return name, labels and value of each sample of a page."""
    found = []
    for text in template.splitlines():
        match = _LINE.fullmatch(text) or re.fullmatch(r"(\w+)() (\S+)", text)
        if match and not text.startswith("#") and match[1].startswith("nvltop_"):
            found.append((match[1], match[2], float(match[3])))
    return found


def tray_page() -> str:
    """Return what nvltop exports of a tray, as far as many nodes are concerned."""
    out = ["nvltop_gpus 4", "nvltop_frame_age_seconds 0.25", "nvltop_driver_up 1"]
    out += [f'nvltop_verdict{{verdict="{name}"}} {int(name == "carrying")}' for name in ("carrying", "idle")]
    for gpu in range(4):
        here = f'gpu="{gpu}",UUID="GPU-{gpu}"'
        fabric = 'cluster_uuid="7b1e55aa-9002",clique_id="1",state="completed"'
        out += [f'nvltop_gpu_info{{{here},tray="6",slot="14"}} 1', f"nvltop_fabric_info{{{here},{fabric}}} 1"]
        out += [
            f'nvltop_gpu_state{{{here},state="{s}"}} {int(s == "ok")}' for s in ("ok", "lost", "unreadable")
        ]
        out += [f"nvltop_nvlink_links{{{here}}} 18", f"nvltop_nvlink_links_active{{{here}}} 18"]
        out += [f"nvltop_nvlink_speed_bytes_per_second{{{here}}} 9e11"]
        out += [f"nvltop_nvlink_ceiling_ratio{{{here}}} 0.76", f"nvltop_gpu_power_watts{{{here}}} 900"]
        for link in range(18):
            its = f'{here},link="{link}"'
            out += [
                f'nvltop_link_{way}_bytes_total{{{its},counter="data"}} 1e12'
                for way in ("transmit", "receive")
            ]
            out += [f'nvltop_link_errors_total{{{its},kind="{kind}"}} 5' for kind in ("effective", "symbol")]
            out += [
                f'nvltop_link_state{{{its},state="active"}} 1',
                f"nvltop_link_speed_bytes_per_second{{{its}}} 5e10",
            ]
    return "\n".join(out)


class Rack:
    """Serves `/tray/N` for each tray; `modes` says what is wrong with it."""

    def __init__(self, template: str, trays: int = TRAYS) -> None:
        self.modes = dict.fromkeys(range(1, trays + 1), "ok")
        self.fault_s = time.time()
        self._lines = parsed(template)
        self._begun_s = time.time()
        self._released = threading.Event()
        rack = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tray = int(self.path.rpartition("/")[2])
                mode = rack.modes[tray]
                if mode == "hang":
                    rack._released.wait(HANG_S)
                if mode in ("hang", "silent"):
                    self.close_connection = True
                    return
                page = rack.page(tray, time.time()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def scrape_config(self, interval: str) -> dict[str, Any]:
        """Return the configuration of a Prometheus that scrapes the trays."""
        to = f"127.0.0.1:{self.port}"
        names = [f"tray{tray:02d}:19400" for tray in self.modes]
        relabel = [
            {"source_labels": ["__address__"], "target_label": "instance"},
            {
                "source_labels": ["__address__"],
                "regex": "tray0?(\\d+):.*",
                "target_label": "__metrics_path__",
                "replacement": "/tray/${1}",
            },
            {"target_label": "__address__", "replacement": to},
        ]
        return {
            "global": {"scrape_interval": interval, "scrape_timeout": interval},
            "scrape_configs": [
                {
                    "job_name": "nvltop",
                    "static_configs": [{"targets": names}],
                    "relabel_configs": relabel,
                }
            ],
        }

    def page(self, tray: int, now_s: float) -> str:
        """Return the page of a tray."""
        mode, elapsed_s = self.modes[tray], now_s - self._begun_s
        out = []
        for name, labels, value in self._lines:
            labels = labels.replace('UUID="GPU-', f'UUID="GPU-{tray:02d}')
            labels = re.sub(r'\btray="\d+"', f'tray="{tray - 1}"', labels)
            if mode == "lost-gpu" and 'gpu="2"' in labels:
                if name == "nvltop_gpu_state":
                    value = float('state="lost"' in labels)
                elif name not in ("nvltop_nvlink_links", "nvltop_gpu_info"):
                    continue
            if re.fullmatch("nvltop_link_(transmit|receive)_bytes_total", name):
                value += RATE * elapsed_s
                if mode == "nan" and 'gpu="1"' in labels:
                    value = float("nan")
            if mode == "errors" and name == "nvltop_link_errors_total" and self._hit(labels):
                value += round(9 * (now_s - self.fault_s))
            if mode == "link-down" and name == "nvltop_nvlink_links_active" and 'gpu="1"' in labels:
                value -= 1
            out.append(f"{name}{{{labels}}} {value}")
        if mode in ("cause", "echo", "link-down", "errors"):
            out += self._faults(tray, mode)
        return "\n".join(out) + "\n"

    @staticmethod
    def _hit(labels: str) -> bool:
        return 'gpu="1"' in labels and 'link="3"' in labels and 'kind="effective"' in labels

    def _faults(self, tray: int, mode: str) -> list[str]:
        def gpu(index: int, link: str = "") -> str:
            return f'gpu="{index}",UUID="GPU-{tray:02d}{index}"{link}'

        link = ',link="3"'
        if mode in ("link-down", "errors"):
            rule, severity = (
                ("link-down", "critical") if mode == "link-down" else ("link-errors-nvl5", "warning")
            )
            where = f'{gpu(1, link)},rule="{rule}",severity="{severity}"'
            began = f"nvltop_finding_began_timestamp_seconds{{{where}}} {self.fault_s}"
            return [f"nvltop_finding{{{where}}} 1", began]
        found = []
        for index in range(4):
            cause = mode == "cause" and index == 1
            labels = gpu(index, link if cause else "")
            at_s = self.fault_s + (0.0 if cause else 0.1 + tray / 10 + index / 100)
            found.append(f"nvltop_last_xid{{{labels}}} {149 if cause else 145}")
            found.append(f"nvltop_last_xid_timestamp_seconds{{{labels}}} {at_s:.3f}")
        return found


def main() -> None:
    """Serve a rack, with the page in a file if one is named; print its port and take commands."""
    page = Path(sys.argv[1]).read_text() if len(sys.argv) > 1 else tray_page()
    rack = Rack(page)
    print(rack.port, flush=True)
    for line in sys.stdin:
        tray, _, mode = line.strip().partition(" ")
        if mode in MODES:
            rack.fault_s = time.time()
            for number in rack.modes if tray == "all" else (int(tray),):
                rack.modes[number] = mode


if __name__ == "__main__":
    main()
