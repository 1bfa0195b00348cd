"""The report of a run: one HTML page that needs no network, and its figures as files."""
