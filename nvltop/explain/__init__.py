"""Explanation of kernel logs and bug reports of any machine (`--explain`)."""
