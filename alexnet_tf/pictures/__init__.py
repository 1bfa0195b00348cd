"""Pictures by matplotlib, from plain arrays: no screen, no global state, colour-blind safe."""
