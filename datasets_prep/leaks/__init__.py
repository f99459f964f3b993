"""What of a test a model may have seen before."""
