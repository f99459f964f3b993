"""What only a GPU can show: `make gpu`, or `python -m tests.gpu.battery --help`."""
