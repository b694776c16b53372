"""Analysis of items into frames: pure functions and state, without clock, I/O or NVML."""
