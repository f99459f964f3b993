"""Scores with their intervals, and whether two models differ."""
