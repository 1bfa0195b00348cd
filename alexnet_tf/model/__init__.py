"""The networks and their layers: ordinary Keras models from pixels to class probabilities."""
