"""Where weights come from: local files, the hub, transformers' networks, seeded random ones."""
