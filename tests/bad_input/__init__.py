"""`docs/bad-input.md`, walked: what its tables say is given, seen, and the exit code."""
