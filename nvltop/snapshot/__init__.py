"""Snapshots for bug reports: their contents, and the ways to take one."""
