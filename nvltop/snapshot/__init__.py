"""The snapshot for a bug report: what goes into it, and who takes one."""
