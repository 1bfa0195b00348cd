"""Reading data sets: sources, splits, scan, statistics, augmentation, the input pipeline."""
