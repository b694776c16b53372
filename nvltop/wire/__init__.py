"""How items become bytes: one encoding for the pipe, the flight recorder and recordings."""
