"""What a job is doing, as far as counters carry it: rhythm, communication, who waits for whom."""
