"""Names of the simulated nodes and of what can happen on them; light, so that `--help` stays fast."""

from __future__ import annotations

from typing import Final

DEFAULT_NODE: Final = "dgx-h100"
DEFAULT_SCENARIO: Final = "training"

NODES: Final = {
    "dgx-h100": "8 × H100 SXM, 18 NVLink 4 links each, 4 NVSwitches",
    "dgx-a100": "8 × A100 SXM, 12 NVLink 3 links each, 6 NVSwitches",
    "hgx-a100-4": "4 × A100 SXM, joined directly, 4 links a pair",
    "dgx1-v100": "8 × V100 SXM2 in a hybrid cube mesh, 6 NVLink 2 links each",
    "rtx3090-pair": "2 × RTX 3090 with a bridge, 4 NVLink 3.1 links",
    "rtx4090-pair": "2 × RTX 4090: no NVLink, PCIe only",
    "no-gpu": "the driver runs but shows no GPU",
    "no-driver": "the kernel driver is not loaded",
}

SCENARIOS: Final = {
    "training": "bursts of all-reduce traffic, as a training job makes them",
    "idle": "nothing runs",
    "errors": "training, and the error counters of one link rise",
    "link-down": "training, and one link goes down after ten seconds",
}
