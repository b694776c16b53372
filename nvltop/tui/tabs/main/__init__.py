"""The tab Main: its widget, and the rows it draws."""
