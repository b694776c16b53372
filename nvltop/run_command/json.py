"""The summary of a command as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from nvltop.model import Maybe, Missing
from nvltop.run_command.summary import GpuSummary, RunSummary

SCHEMA: Final = "nvltop-run/1"


def to_json(s: RunSummary) -> str:
    """Return the summary as one JSON object; a number that could not be read is null, with its reason."""
    index_of = {g.uuid: g.index for g in s.gpus}
    return json.dumps(
        {
            "schema": SCHEMA,
            "command": list(s.command),
            "exit_code": s.exit_code,
            "duration_s": round(s.duration_s, 3),
            "problem": s.problem or None,
            "too_short": s.too_short,
            "attributed": s.attributed,
            "gpus": [_gpu(g) for g in s.gpus if g.own],
            "errors": [{"gpu": e.gpu, "link": e.link, "kind": e.kind, "increase": e.count} for e in s.errors],
            "resets": [{"gpu": gpu, "link": link} for gpu, link in s.resets],
            "errors_late_s": round(s.errors_late_s, 3),
            "step_s": s.judgement.step_s if s.judgement else None,
            "findings": [
                {
                    "rule": f.rule,
                    "severity": f.severity,
                    "gpu": index_of.get(f.gpu or ""),
                    "link": f.link,
                    "summary": f.summary,
                    "next_step": f.next_step,
                }
                for f in s.findings
            ],
            "other_jobs": list(s.others),
        }
    )


def _gpu(g: GpuSummary) -> dict[str, Any]:
    values: dict[str, Maybe[Any]] = {
        "index": g.index,
        "uuid": g.uuid,
        "name": g.name,
        "tx_bytes": g.tx_bytes,
        "rx_bytes": g.rx_bytes,
        "mean_tx_bytes_per_s": g.means[0],
        "mean_rx_bytes_per_s": g.means[1],
        "mean_over_s": g.mean_over_s,
        "nccl_max_bytes_per_s": g.nccl_max_bytes_per_s,
        "at_limit_s": g.at_limit_s,
    }
    missing = {key: value.reason for key, value in values.items() if isinstance(value, Missing)}
    found = {key: None if isinstance(value, Missing) else value for key, value in values.items()}
    return {**found, "missing": missing} if missing else found
