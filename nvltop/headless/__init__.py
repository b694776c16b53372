"""Runs without a screen: a session that reads the worker, and a module for each kind of run."""
