"""A frame as text or JSON."""
