"""The tab Processes: its widget, and the rows it draws."""
