"""The networks and their layers: ordinary Keras models that take pixels and give probabilities."""
