"""Frames as rows of text with roles: pure functions without Textual, so tests see the text of the screen."""
