"""Shipping a network: SavedModel for TF Serving, TFLite, ONNX, each checked against Keras."""
