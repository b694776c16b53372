"""The tab Events."""
