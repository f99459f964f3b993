"""Few-shot segmenters: the `Segmenter` contract, DiffewS and the baselines.

A new model is a file in `methods/` after `template`, and a line in `catalog`; `check` tries whether
it keeps the contract of `segmenter`, `geometry` says how images and masks reach it.

- `methods/` has a file or a folder for each method;
- `backbones/` are frozen feature extractors that several methods read;
- `custom/` loads a user's own model, and names the code that it is made of;
- `weights/` brings weights from files, the hub or a seed, always with the digest of what was read.
"""
