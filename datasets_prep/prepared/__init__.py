"""The prepared form of a dataset: made by `prepare`, read by `dataset`."""
