"""The tab Links: its widget, and the rows it draws."""
