"""Kernel log records of NVIDIA drivers: their formats, their decoder, and the catalog of Xids and SXids."""
