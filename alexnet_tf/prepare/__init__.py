"""`prepare`: images of any source, checked, repaired, rescaled and written once."""
