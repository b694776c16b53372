"""GPU models of the simulation: name, generation, link version and speed as NVML reports them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nvltop.nvml.simulated.node import ADA, AMPERE, BLACKWELL, HOPPER, PASCAL, RUBIN, TURING, VOLTA, Board

# Thresholds are those of `nvidia-smi -q -d TEMPERATURE` on these boards.
P100: Final = Board("Tesla P100-SXM2-16GB", PASCAL, 16, 300, 3, 1, 20000, total_scope=False, slowdown_c=82)
V100: Final = Board("Tesla V100-SXM2-32GB", VOLTA, 32, 300, 3, 2, 25781, total_scope=False, slowdown_c=87)
V100_SXM3: Final = replace(V100, name="Tesla V100-SXM3-32GB", power_limit_w=350)
RTX2080S: Final = Board("NVIDIA GeForce RTX 2080 SUPER", TURING, 8, 250, 3, 3, 25781, slowdown_c=97)
A100: Final = Board("NVIDIA A100-SXM4-80GB", AMPERE, 80, 400, 4, 4, 25000, slowdown_c=89)
A100_PCIE: Final = replace(A100, name="NVIDIA A100 80GB PCIe", power_limit_w=300)
A800: Final = replace(A100, name="NVIDIA A800-SXM4-80GB")
RTX3090: Final = Board(
    "NVIDIA GeForce RTX 3090", AMPERE, 24, 350, 4, 5, 14062, data_counts=False, slowdown_c=95
)
A6000: Final = Board("NVIDIA RTX A6000", AMPERE, 48, 300, 4, 5, 14062, slowdown_c=95)
RTX4090: Final = Board("NVIDIA GeForce RTX 4090", ADA, 24, 450, 4)
L40S: Final = Board("NVIDIA L40S", ADA, 45, 350, 4)
H100: Final = Board("NVIDIA H100 80GB HBM3", HOPPER, 80, 700, 5, 6, 26562, fabric=True)
H800: Final = replace(H100, name="NVIDIA H800")
H200: Final = replace(H100, name="NVIDIA H200", memory_gib=140)
H100_NVL: Final = replace(H100, name="NVIDIA H100 NVL", memory_gib=94, power_limit_w=400, fabric=False)
GH200: Final = replace(
    H100, name="NVIDIA GH200 480GB", memory_gib=96, power_limit_w=900, c2c_links=10, fabric=False
)
B200: Final = Board("NVIDIA B200", BLACKWELL, 179, 1000, 5, 7, 53125, fabric=True)
B300: Final = replace(B200, name="NVIDIA B300 SXM6 AC", memory_gib=268, power_limit_w=1100, pcie_gen=6)
GB200: Final = replace(B200, name="NVIDIA GB200", memory_gib=185, power_limit_w=1200, c2c_links=10)
GB300: Final = replace(GB200, name="NVIDIA GB300", memory_gib=277, power_limit_w=1400)
GB10: Final = Board("NVIDIA GB10", BLACKWELL, 0, 140, 1, memory_info=False, pcie_width=1, c2c_links=1)
RTX5090: Final = Board("NVIDIA GeForce RTX 5090", BLACKWELL, 32, 575, 5)
RTX_PRO: Final = Board("NVIDIA RTX PRO 6000 Blackwell Server Edition", BLACKWELL, 95, 600, 5)
RUBIN_GPU: Final = replace(B200, name="NVIDIA Rubin", architecture=RUBIN, memory_gib=280, link_version=8)
"""Speed and power of Rubin are not public; those of Blackwell stand in for them."""
