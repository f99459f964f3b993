"""Original archives to prepared datasets, fold splits and fixed episode lists."""
