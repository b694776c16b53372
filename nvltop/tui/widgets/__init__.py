"""Widgets that the tabs are made of."""
