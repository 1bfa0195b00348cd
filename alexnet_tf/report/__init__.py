"""A run to look at: one HTML page that needs no network, and its pictures as files."""
