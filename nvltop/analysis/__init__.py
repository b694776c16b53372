"""From items to frames: pure, without clock, I/O or NVML."""
