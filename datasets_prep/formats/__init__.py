"""Readers of files that somebody else made; none of them trusts what it reads."""
