"""The config file and the settings it holds."""
