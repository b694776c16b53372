"""nvltop: a live terminal dashboard for the NVLinks of one GPU server."""

__version__ = "0.2.0"
