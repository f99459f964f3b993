"""Which results a board may hold, and those that are kept in the repository."""
