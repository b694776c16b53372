"""Access to NVML, NVIDIA's management library, and a simulation of it.

This is the only package that imports `pynvml` (the PyPI distribution `nvidia-ml-py`).
"""
