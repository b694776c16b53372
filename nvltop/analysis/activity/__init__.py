"""What a job is doing, as far as counters show it: its step, its communication, and its straggler."""
