"""Test sets of other domains: skin lesions, chest X-rays, underwater and aerial images.

All are tested as a whole: one fold, every class novel, no training part.
"""
