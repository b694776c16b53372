"""The worker process that reads NVML and the host, and the main process's end of it."""
