"""Prepared datasets for programs that know nothing of this suite."""
