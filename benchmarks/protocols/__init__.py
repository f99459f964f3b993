"""Protocols, and what is known of an episode list before anything is run."""
