"""The tab Errors: its widget, and the rows it draws."""
