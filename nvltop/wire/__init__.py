"""Encoding of items as bytes, shared by the pipe, the flight recorder and recordings."""
