"""The worker process that reads NVML and the host, and its client in the main process."""
