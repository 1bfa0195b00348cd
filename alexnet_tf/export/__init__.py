"""Exports a model as a SavedModel for TF Serving, as TFLite and as ONNX, each verified."""
