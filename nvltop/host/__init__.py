"""The machine around the GPUs: CPU, memory, PCI devices."""
