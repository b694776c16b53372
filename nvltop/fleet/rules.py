"""The recording rules of `--print-rules`: sums by node, so that a refresh need not read each link."""

from __future__ import annotations

from typing import Final

from nvltop.fleet import queries

HEAD: Final = """\
# Recording rules for `nvltop --prometheus`: sums by node, so that it need not read each link at each refresh.
# nvltop uses them where they exist and each node is scraped every 15 s or more often.
# Save this file, list it under `rule_files` of prometheus.yml, and reload Prometheus.
groups:
"""


def rules() -> str:
    """Return the rules as a file for Prometheus."""
    rates = queries.node_rates(queries.RECORDED_WINDOW_S, str)
    hour_s = queries.ERROR_WINDOWS_S[0]
    return HEAD + "\n".join(
        [
            *_group("nvltop-rates", 15),
            *_rule(queries.RECORDED, rates["tx"]),
            *_rule(queries.RECORDED_RX, rates["rx"]),
            *_rule(queries.RECORDED_GPUS, rates["rated"]),
            *_group("nvltop-errors", 60),
            *_rule(queries.RECORDED_ERRORS, queries.risen(hour_s, str)),
            *_rule(queries.RECORDED_COUNTED, queries.gpus_counted(hour_s, str)),
        ]
    )


def _group(name: str, interval_s: int) -> tuple[str, ...]:
    return f"  - name: {name}", f"    interval: {interval_s}s", "    rules:"


def _rule(name: str, text: str) -> tuple[str, ...]:
    return f"      - record: {name}", f"        expr: {text}"
