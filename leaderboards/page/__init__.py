"""Boards and reports for a browser, and the plots in them."""
