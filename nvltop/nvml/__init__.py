"""Everything that talks to NVIDIA's management library, and the simulation that stands below it.

The only package that imports `pynvml` (the PyPI distribution `nvidia-ml-py`).
"""
