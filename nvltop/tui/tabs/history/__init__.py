"""The tab History: its widget, and the rows it draws."""
