"""What files and people of no trust cannot do; SECURITY.md says the same in words."""
