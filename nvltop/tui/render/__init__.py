"""Frames as rows of text with roles: pure, without Textual, so that tests read what a person reads."""
