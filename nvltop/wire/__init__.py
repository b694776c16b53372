"""How items become bytes: one encoding for the pipe and for recordings."""
