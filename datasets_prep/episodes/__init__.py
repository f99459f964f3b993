"""Fixed episode lists: the value, its digest, and the recipes that draw it."""
