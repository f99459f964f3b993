"""What was measured: the results store and its records, shards and their merge, outside masks."""
