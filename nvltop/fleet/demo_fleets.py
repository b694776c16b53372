"""Names and descriptions of the simulated groups of nodes and their scenarios; importing this is fast."""

from __future__ import annotations

from typing import Final

DEFAULT_SCENARIO: Final = "training"
FLEETS: Final = {"nvl72": "a rack of 18 × 4 GB200 in one NVLink domain, as Prometheus sees it"}
SCENARIOS: Final = {
    "training": "bursts of all-reduce traffic, as in a training job",
    "tray-silent": "nvl72: one tray has not answered for four minutes",
    "link-degraded": "nvl72: one link counts errors and carries less",
    "xid": "one GPU reports an NVLink fault that its peers echo",
}
"""Scenarios of the groups; `training` and `xid` exist for single nodes too."""
