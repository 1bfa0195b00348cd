"""A local web page that shows predictions for images."""
