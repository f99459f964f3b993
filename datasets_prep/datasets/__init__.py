"""A folder or a file for each dataset; `datasets_prep.catalog` lists them by name."""
