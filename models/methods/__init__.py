"""A file or a folder for each method; `models.catalog` lists them by name."""
