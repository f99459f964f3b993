"""What is to be run: `bench.yaml`, what the command line changes in it, the matrix, its models."""
