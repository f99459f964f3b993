"""Numbers that papers report, each with where it was read."""
