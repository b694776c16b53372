"""The machine that contains the GPUs: CPU, memory, processes, PCI devices and NICs."""
