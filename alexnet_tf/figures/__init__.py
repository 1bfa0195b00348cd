"""Pictures by matplotlib, from plain arrays: no screen, no global state, color-blind safe."""
