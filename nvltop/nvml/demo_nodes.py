"""Names and descriptions of the simulated nodes and scenarios; importing this module is fast."""

from __future__ import annotations

from typing import Final

DEFAULT_NODE: Final = "dgx-h100"
DEFAULT_SCENARIO: Final = "training"

NODES: Final = {
    "dgx-h100": "8 × H100 SXM, 18 NVLink 4 links each, 4 NVSwitches",
    "dgx-h200": "8 × H200 SXM, 18 NVLink 4 links each, 4 NVSwitches",
    "dgx-a100": "8 × A100 SXM, 12 NVLink 3 links each, 6 NVSwitches",
    "a800": "8 × A800 SXM, 8 NVLink 3 links each, NVSwitches",
    "h800": "8 × H800 SXM, 8 of 18 NVLink 4 links in use, NVSwitches",
    "dgx1-p100": "8 × P100 SXM2 in a hybrid cube mesh, 4 NVLink 1 links each",
    "dgx1-v100": "8 × V100 SXM2 in a hybrid cube mesh, 6 NVLink 2 links each",
    "dgx2": "16 × V100 SXM3, 6 NVLink 2 links each, NVSwitches",
    "hgx-a100-4": "4 × A100 SXM, joined directly, 4 links a pair",
    "hgx-h100-4": "4 × H100 SXM, joined directly, 6 links a pair",
    "a100-pcie-pairs": "4 × A100 PCIe, two pairs with bridges, 12 links a pair",
    "a100-pcie": "2 × A100 PCIe without a bridge: 12 links each, all down by design",
    "h100-nvl-pair": "2 × H100 NVL with bridges: 12 of 18 links up by design",
    "h100-vm": "1 × H100 in a VM: 18 links up, remote ends hidden",
    "hgx-h100-vm": "8 × H100 in a VM: remote ends of the links hidden",
    "h100-mig": "8 × H100 with MIG enabled: links cannot be read",
    "hgx-b200": "8 × B200, 18 NVLink 5 links each, 2 NVSwitches",
    "hgx-b300": "8 × B300, 18 NVLink 5 links each, 2 NVSwitches",
    "gh200": "1 × GH200: C2C to its CPU, 18 links not connected",
    "gb200-tray": "4 × GB200, a compute tray of an NVL72: C2C and a fabric clique",
    "gb300-tray": "4 × GB300, a compute tray of an NVL72: C2C and a fabric clique",
    "rubin": "8 × Rubin, 36 NVLink 6 links each (rates not public: as NVLink 5)",
    "gb10": "DGX Spark: one GB10 with unified memory, no NVLink",
    "rtx3090-pair": "2 × RTX 3090 with a bridge, 4 NVLink 3.1 links",
    "rtx3090-nobridge": "2 × RTX 3090 without a bridge: 4 links each, all down by design",
    "a6000-3": "3 × RTX A6000, two of them with a bridge",
    "rtx2080s-nobridge": "1 × RTX 2080 SUPER: one link, which this driver does not report",
    "mixed": "2 × A100 PCIe with bridges and an RTX 4090",
    "rtx4090-pair": "2 × RTX 4090: no NVLink, PCIe only",
    "rtx5090-pair": "2 × RTX 5090: no NVLink, PCIe only",
    "l40s": "1 × L40S: no NVLink, PCIe only",
    "rtx-pro-6000": "4 × RTX PRO 6000 Blackwell: no NVLink, PCIe only",
    "no-gpu": "the driver runs but lists no GPU",
    "no-driver": "the kernel driver is not loaded",
    "no-library": "no NVIDIA driver is installed",
    "version-mismatch": "driver library and kernel module are different versions",
}

SCENARIOS: Final = {
    "training": "bursts of all-reduce traffic, as in a training job",
    "overlapped": "training, with traffic hidden behind compute",
    "idle": "no job runs",
    "errors": "training, and the error counters of one link rise",
    "link-down": "training, and one link goes down after ten seconds",
    "nic-down": "training, and one NIC loses its link after ten seconds",
    "fabric-stuck": "training, and the GPUs never finish joining the NVLink fabric",
    "gpu-lost": "training, and one GPU falls off the bus after ten seconds",
    "xid": "training, and one GPU reports an NVLink fault that its peers echo",
    "slow-driver": "training, and each driver call about links takes 40 ms",
    "p2p-fallback": "training over PCIe, although NVLink is available",
    "p2p-dead": "training over PCIe, because no pair of GPUs can use NVLink",
    "throttled": "training, and one GPU gets too hot after ten seconds",
    "straggler": "training, and one GPU is slower than the others, which wait for it in each step",
    "hang": "training, and the job hangs after thirty seconds: one GPU stops, the others busy-wait",
    "saturated": "the links at their practical limit all the time",
}
