"""Few-shot segmenters: the `Segmenter` contract, DiffewS and the baselines."""
