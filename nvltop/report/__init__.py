"""Reports of a frame: text, JSON, CSV and the line of `--check`, and the phrases that they share."""
