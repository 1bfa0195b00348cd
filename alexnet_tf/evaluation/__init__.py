"""Top-1 and top-5 error, ensembles, predictions and similar images of trained networks."""
