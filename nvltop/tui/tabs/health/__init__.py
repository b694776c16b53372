"""The tab Health: its widget, and the rows it draws."""
