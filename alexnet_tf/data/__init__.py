"""How images come in: sources, splits, statistics, augmentation, the input pipeline."""
