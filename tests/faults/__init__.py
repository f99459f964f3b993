"""What may break, and what then holds: a result is right or absent. One file a fault."""
