"""Original archives to prepared datasets, fold splits and fixed episode lists.

A new dataset is a file in `datasets/` that fulfils `builder.Builder`, and a line in `catalog`.

- `archives/` fetches, checks and unpacks; `formats/` reads files that somebody else made;
- `datasets/` turns them into images, label maps and fold lists, a file or a folder for each;
- `prepared/` is the prepared form: written whole or not at all, and read again;
- `episodes/` draws the fixed lists, `leaks/` says what of a test was perhaps seen before;
- `export/` writes a prepared dataset for other programs, `runtime/` has processes, locks, progress.
"""
