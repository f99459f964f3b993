"""Processes, disk space, locks and progress: what long preparations stand on."""
