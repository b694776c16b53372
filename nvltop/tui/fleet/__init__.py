"""The screen of many nodes: its own application and tabs, on the shell and widgets of the main screen."""
