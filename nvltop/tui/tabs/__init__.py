"""The tabs of the screen, a folder each."""
