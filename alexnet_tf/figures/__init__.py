"""Figures drawn with matplotlib from arrays: no display, no global state, color-blind safe."""
