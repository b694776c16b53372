"""Pages opened over a tab: one link, one pair of GPUs."""
