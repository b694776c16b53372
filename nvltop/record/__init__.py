"""Recordings: the items of a run, redacted, in a file that replays as the run looked."""
