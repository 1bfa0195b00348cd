"""A local page to play with a trained network."""
