"""Metrics for Prometheus: what is exported, the page, and the server that hands it out."""
